#!/usr/bin/env node
// @ts-check
/** The command line `latchkey`: compiles what has changed, reads .env as `npm start` does, and runs the command. */
import { spawnSync } from 'node:child_process';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const root = path.dirname(path.dirname(fileURLToPath(import.meta.url)));
const script = (/** @type {string} */ name) => path.join(root, name);

for (const step of [
  [script('scripts/require-node.cjs')],
  [script('scripts/build.mjs'), '--if-stale', '--guide-later'],
  [
    '--enable-source-maps',
    '--import',
    script('scripts/read-env.mjs'),
    script('dist/src/cli/main.js'),
    ...process.argv.slice(2),
  ],
]) {
  const { status } = spawnSync(process.execPath, step, { stdio: 'inherit' });
  process.exitCode = status ?? 1;
  if (status !== 0) break;
}
