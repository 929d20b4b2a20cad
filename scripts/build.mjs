// @ts-check
/**
 * Compiles to dist/ with `nest build`. With --if-stale only when an input's content differs from what the
 * last build saw; where there are no sources (a container image with dist/ alone) that is never.
 * Two at once (two instances started after one checkout) take turns: the second finds the work done.
 */
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const root = path.dirname(path.dirname(fileURLToPath(import.meta.url)));
const output = path.join(root, 'dist/src/main.js');
const stamp = path.join(root, 'dist/.inputs');
const lock = path.join(root, '.build.lock');
const inputs = [
  'src',
  'ormconfig.ts',
  'tsconfig.json',
  'tsconfig.build.json',
  'nest-cli.json',
  'package-lock.json',
];
const lockTimeoutMs = 120_000;

/** @param {string} name @returns {string[]} the files under an input, sorted, relative to the root */
function filesOf(name) {
  const full = path.join(root, name);
  if (!existsSync(full)) return [];
  if (!statSync(full).isDirectory()) return [name];
  return readdirSync(full)
    .toSorted()
    .flatMap((entry) => filesOf(`${name}/${entry}`));
}

/** @returns {string} a digest of the names and contents of everything that a build reads */
function digestInputs() {
  const hash = createHash('sha256');
  for (const file of inputs.flatMap(filesOf)) {
    const content = readFileSync(path.join(root, file));
    hash.update(`\n${file} ${content.length}\n`).update(content);
  }
  return hash.digest('hex');
}

/** @returns {boolean} */
function isFresh() {
  if (!existsSync(output)) return false;
  if (!existsSync(path.join(root, 'src'))) return true;
  return existsSync(stamp) && readFileSync(stamp, 'utf8') === digestInputs();
}

/** @returns {boolean} whether this process now holds the lock */
function takeLock() {
  try {
    writeFileSync(lock, String(process.pid), { flag: 'wx' });
    return true;
  } catch (error) {
    if (/** @type {NodeJS.ErrnoException} */ (error).code !== 'EEXIST') throw error;
  }
  if (isHolderGone()) rmSync(lock, { force: true });
  return false;
}

/** @returns {boolean} whether the process that wrote the lock ended without removing it */
function isHolderGone() {
  try {
    const { mtimeMs } = statSync(lock);
    const holder = Number(readFileSync(lock, 'utf8'));
    if (Date.now() - mtimeMs > lockTimeoutMs) return true;
    if (holder === 0) return false;
    process.kill(holder, 0);
    return false;
  } catch (error) {
    return /** @type {NodeJS.ErrnoException} */ (error).code === 'ESRCH';
  }
}

/** @returns {number} the compiler's exit status */
function build() {
  // Taken before compiling: a file saved meanwhile makes the next start build again.
  const digest = digestInputs();
  const nest = path.join(root, 'node_modules/@nestjs/cli/bin/nest.js');
  const { status } = spawnSync(process.execPath, [nest, 'build'], { cwd: root, stdio: 'inherit' });
  if (status === 0) writeFileSync(stamp, digest);
  return status ?? 1;
}

const ifStale = process.argv.includes('--if-stale');
if (!(ifStale && isFresh())) {
  while (!takeLock()) await new Promise((resolve) => setTimeout(resolve, 100));
  try {
    process.exitCode = ifStale && isFresh() ? 0 : build();
  } finally {
    rmSync(lock, { force: true });
  }
}
