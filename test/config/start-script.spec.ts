import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { describe, expect, it } from 'vitest';
import { projectPath } from '../../src/common/project-path.js';

describe('npm start', () => {
  it('reads the file .env of the current folder, and what the environment has already stays', () => {
    const folder = mkdtempSync(join(tmpdir(), 'latchkey-env-'));
    const readEnv = pathToFileURL(projectPath('scripts/read-env.mjs')).href;
    const settings = () =>
      execFileSync(
        process.execPath,
        ['--import', readEnv, '-p', '[process.env.PORT, process.env.HOST].join()'],
        {
          cwd: folder,
          env: { HOST: 'given' },
          encoding: 'utf8',
        },
      ).trim();
    expect(settings()).toBe(',given');
    writeFileSync(join(folder, '.env'), '# a comment\nPORT=4000\nHOST=of-the-file\n');
    expect(settings()).toBe('4000,given');
    rmSync(folder, { recursive: true });
  });

  it.each(['14.21.3', '18.20.8', '20.18.1'])('ends with one sentence on Node %s', (version) => {
    const pretend = `Object.defineProperty(process.versions, 'node', { value: '${version}' });`;
    const { status, stderr } = spawnSync(
      process.execPath,
      ['-e', `${pretend} require(${JSON.stringify(projectPath('scripts/require-node.cjs'))})`],
      { encoding: 'utf8' },
    );
    expect([status, stderr]).toEqual([1, `Node ${version} is too old: Latchkey needs 20.19 or newer.\n`]);
  });
});
