import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { describe, expect, it } from 'vitest';
import { projectPath } from '../../src/common/project-path.js';

const { scripts } = JSON.parse(readFileSync(projectPath('package.json'), 'utf8')) as {
  scripts: Record<'start' | 'prestart' | 'pretest', string>;
};

describe('npm start', () => {
  it('reads the file .env of the current folder, and what the environment has already stays', () => {
    const folder = mkdtempSync(join(tmpdir(), 'latchkey-env-'));
    // The options of the script itself, with another program in the place of the service.
    const options = /^exec node (.+) dist\/src\/main\.js$/.exec(scripts.start)?.[1]?.split(' ') ?? [];
    const absolute = options.map((option) =>
      option.startsWith('./') ? pathToFileURL(projectPath(option)).href : option,
    );
    const settings = () =>
      execFileSync(process.execPath, [...absolute, '-p', '[process.env.PORT, process.env.HOST].join()'], {
        cwd: folder,
        env: { HOST: 'given' },
        encoding: 'utf8',
      }).trim();
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
    // It is the first thing that a start and a test run do.
    for (const script of [scripts.prestart, scripts.pretest])
      expect(script).toMatch(/^node scripts\/require-node\.cjs && /);
    expect([status, stderr]).toEqual([1, `Node ${version} is too old: Latchkey needs 20.19 or newer.\n`]);
  });
});
