import { execFile } from 'node:child_process';
import { chmodSync, mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { projectPath } from '../../src/common/project-path.js';
import { developmentSecrets } from '../../src/config/development-secrets.js';

const run = promisify(execFile);

describe('the secrets that development makes for itself', () => {
  let dataDir: string;
  beforeEach(() => {
    dataDir = mkdtempSync(join(tmpdir(), 'latchkey-secrets-'));
  });
  afterEach(() => rmSync(dataDir, { recursive: true, force: true }));

  const modeOf = (name: string) => statSync(join(dataDir, name)).mode & 0o777;

  it('are strong, different from each other and from those of another place', () => {
    const { jwtSecret, apiKeyPepper } = developmentSecrets(dataDir);
    const elsewhere = developmentSecrets(join(dataDir, 'elsewhere'));
    expect(new Set([jwtSecret, apiKeyPepper, elsewhere.jwtSecret, elsewhere.apiKeyPepper]).size).toBe(4);
    for (const secret of [jwtSecret, apiKeyPepper]) expect(Buffer.from(secret, 'base64url')).toHaveLength(32);
  });

  it('are made once and kept where only their owner reads them', () => {
    const made = developmentSecrets(dataDir);
    expect(readdirSync(dataDir)).toEqual(['secrets.json']);
    expect(modeOf('secrets.json')).toBe(0o600);
    chmodSync(join(dataDir, 'secrets.json'), 0o644);
    expect(developmentSecrets(dataDir)).toEqual(made);
    expect(modeOf('secrets.json')).toBe(0o600);
  });

  it.each([
    '',
    '{',
    'null',
    '[]',
    '{"jwtSecret":"hunter2"x',
    'hunter2',
    '{"jwtSecret":1,"apiKeyPepper":"hunter2"}',
  ])('are not made anew over a file that does not hold them, nor is that quoted: %j', (text) => {
    writeFileSync(join(dataDir, 'secrets.json'), text);
    expect(() => developmentSecrets(dataDir)).toThrow(
      /^\S+secrets\.json does not hold the development secrets/,
    );
    expect(() => developmentSecrets(dataDir)).not.toThrow('hunter2');
    expect(readdirSync(dataDir)).toEqual(['secrets.json']);
  });

  it('are the same for processes that start together', async () => {
    const module = projectPath('src/config/development-secrets.ts');
    const script = `import { developmentSecrets } from ${JSON.stringify(module)};
      console.log(JSON.stringify(developmentSecrets(process.argv[1])));`;
    const made = await Promise.all(
      Array.from({ length: 4 }, () =>
        run(process.execPath, ['--import', 'tsx', '--input-type=module', '-e', script, dataDir], {
          cwd: projectPath('.'),
        }),
      ),
    );
    expect(new Set(made.map(({ stdout }) => stdout.trim())).size).toBe(1);
    expect(readdirSync(dataDir)).toEqual(['secrets.json']);
  });
});
