import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { inspect } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ConfigurationError } from '../../src/config/config.js';
import { loadConfig } from '../../src/config/load-config.js';

const STRONG = 'V3ry-str0ng-and-r4ndom-for-these-tests';
const PRODUCTION = {
  NODE_ENV: 'production',
  DATABASE_URL: 'postgresql://latchkey:hunter2@db.internal/latchkey',
  JWT_SECRET: STRONG,
  API_KEY_PEPPERS: `1:${STRONG}`,
};

/** Every problem that the variables have; none when they are fine. */
function problemsOf(environment: Record<string, string | undefined>): readonly string[] {
  try {
    loadConfig(environment);
    return [];
  } catch (error) {
    if (error instanceof ConfigurationError) return error.problems;
    throw error;
  }
}

describe('the configuration', () => {
  let dataDir: string;
  beforeAll(() => {
    dataDir = mkdtempSync(join(tmpdir(), 'latchkey-config-'));
  });
  afterAll(() => rmSync(dataDir, { recursive: true, force: true }));

  it('is accepted in production with the secrets and nothing else', () => {
    expect(problemsOf(PRODUCTION)).toEqual([]);
    const config = loadConfig(PRODUCTION);
    expect([config.isProduction, config.port, config.bcryptCost]).toEqual([true, 3000, 12]);
    expect([config.trustedProxies, config.corsOrigins]).toEqual([[], []]);
    expect(config.shutdownDrainSeconds).toBe(5);
  });

  it('makes strong secrets for development, and the same ones again', () => {
    const [first, second] = [loadConfig({ DATA_DIR: dataDir }), loadConfig({ DATA_DIR: dataDir })];
    expect(first.shutdownDrainSeconds).toBe(0);
    expect(Buffer.byteLength(first.jwtSecrets[0].reveal())).toBeGreaterThanOrEqual(32);
    expect(second.jwtSecrets[0].reveal()).toBe(first.jwtSecrets[0].reveal());
    expect(second.apiKeyPeppers[0]!.secret.reveal()).toBe(first.apiKeyPeppers[0]!.secret.reveal());
    expect(first.apiKeyPeppers[0]!.secret.reveal()).not.toBe(first.jwtSecrets[0].reveal());
  });

  it.each(['JWT_SECRET', 'API_KEY_PEPPERS'])('is refused in production without %s', (name) => {
    for (const value of [undefined, '']) {
      expect(problemsOf({ ...PRODUCTION, [name]: value })).toEqual([`${name} must be set in production.`]);
    }
  });

  const weak = [
    'change-me-change-me-change-me-change-me',
    'CHANGEME-0123456789-0123456789-0123456789',
    'please_change_me_0123456789_0123456789',
    'this-is-an-example-secret-of-forty-bytes',
    'placeholder-placeholder-placeholder-1234',
    'replace-this-with-a-random-value-please!',
    'your-secret-here-0123456789-0123456789',
    'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa',
    '0000000000000000000000000000000000000000',
    'short',
    'x',
    '31-bytes-are-one-byte-too-short',
  ];
  it.each(weak)('is refused with a weak secret, everywhere and without repeating it: %s', (value) => {
    for (const environment of [PRODUCTION, { DATA_DIR: dataDir, NODE_ENV: 'development' }]) {
      const problems = problemsOf({
        ...environment,
        JWT_SECRET: value,
        API_KEY_PEPPERS: `1:${STRONG},2:${value}`,
      });
      expect(problems).toEqual([
        expect.stringMatching(
          /^JWT_SECRET (must be at least 32 bytes long|is an example value; make a random one)\.$/,
        ),
        expect.stringMatching(/^API_KEY_PEPPERS entry 2 (must be at least 32 bytes|is an example value)/),
      ]);
      if (value.length > 1) expect(problems.join()).not.toContain(value);
    }
  });

  it('takes a list of secrets for access tokens, the current one first', () => {
    const secrets = [STRONG, `${STRONG} former`, `${STRONG} oldest`];
    const { JWT_SECRET: single, ...others } = PRODUCTION;
    const config = loadConfig({ ...others, JWT_SECRETS: secrets.join(', ') });
    expect(config.jwtSecrets.map((secret) => secret.reveal())).toEqual(secrets);
    expect(loadConfig(PRODUCTION).jwtSecrets.map((secret) => secret.reveal())).toEqual([single]);
  });

  it('ignores JWT_SECRET where JWT_SECRETS is set, and says so', () => {
    const config = loadConfig({ ...PRODUCTION, JWT_SECRETS: `${STRONG} new` });
    expect(config.jwtSecrets.map((secret) => secret.reveal())).toEqual([`${STRONG} new`]);
    expect(config.warnings).toEqual(['JWT_SECRET is ignored, because JWT_SECRETS is set.']);
  });

  it.each([
    ['JWT_SECRETS entry 2 must be at least 32 bytes long.', `${STRONG},short`],
    ['JWT_SECRETS entry 2 must be at least 32 bytes long.', `${STRONG},`],
    ['JWT_SECRETS entry 1 is an example value; make a random one.', `change-me-${STRONG},${STRONG}`],
    ['JWT_SECRETS must not repeat a secret.', `${STRONG},${STRONG}`],
  ])('is refused with a list of secrets of which it says: %s', (problem, list) => {
    expect(problemsOf({ ...PRODUCTION, JWT_SECRETS: list })).toEqual([problem]);
  });

  it('counts the bytes of a secret, not its characters', () => {
    expect(problemsOf({ ...PRODUCTION, JWT_SECRET: 'é€'.repeat(6) })).toHaveLength(1);
    expect(problemsOf({ ...PRODUCTION, JWT_SECRET: 'é€ü'.repeat(5) })).toEqual([]);
  });

  it.each([
    STRONG,
    `x:${STRONG}`,
    `1:${STRONG},1:${STRONG}x`,
    `1:${STRONG},`,
    `01:${STRONG},1:${STRONG}`,
    `-1:${STRONG}`,
  ])('is refused with peppers written like number %#', (value) => {
    const problems = problemsOf({ ...PRODUCTION, API_KEY_PEPPERS: value });
    expect(problems).toEqual([expect.stringMatching(/^API_KEY_PEPPERS /)]);
    expect(problems.join()).not.toContain(STRONG);
  });

  const bad: Record<string, string[]> = {
    NODE_ENV: ['prod', 'Production', 'staging'],
    PORT: ['-1', '65536', 'http', '3000.5', '0x10', ' 1', '1e3'],
    DATABASE_URL: [
      'mysql://a',
      'postgresql:',
      'localhost:5432',
      'http://db',
      'postgresql://a,b/c?target_session_attrs=standby',
    ],
    DATABASE_SCHEMA: ['Latchkey', 'pg_keys', '1st', 'a-b', 'a"b'],
    DATABASE_MIGRATION_URL: ['mysql://a'],
    DATABASE_POOL_SIZE: ['0', '1', '501', 'many'],
    REDIS_URL: [
      'http://redis',
      'redis',
      'redis+sentinel://h:26379',
      'redis+sentinel:///mymaster',
      'redis+sentinel://h:x/mymaster',
      'redis+sentinel://h,/mymaster',
      'redis://:pa,ss@h',
      'redis://h,',
      'redis://a,b',
      'redis://h:port',
    ],
    ACCESS_TOKEN_TTL_SECONDS: ['0', '29', '86401'],
    REFRESH_TOKEN_TTL_SECONDS: ['59', '31536001'],
    API_KEY_PREFIX: ['en', '_', '(a+)+_', 'a-b_', 'x'.repeat(16) + '_', 'en _'],
    API_KEY_FORMER_PREFIXES: ['old', 'old_,x'],
    ADMIN_USERNAME: ['a b', 'x'.repeat(65), 'ädmin', '../x'],
    ADMIN_PASSWORD: ['short', 'elevenchars', 'x'.repeat(73), '€'.repeat(25)],
    CORS_ORIGINS: [
      'example.com',
      'https://a.example/',
      'https://a.example/path',
      'null',
      'https://*.example',
    ],
    TRUSTED_PROXIES: [
      '10.0.0.0/33',
      '10.0.0',
      'proxy.internal',
      '::/129',
      '10.0.0.1/8/8',
      '*',
      'fe80::1%eth0',
    ],
    LOG_LEVEL: ['verbose', 'INFO'],
    LOG_FORMAT: ['xml'],
    BCRYPT_COST: ['4', '9', '17', 'high'],
    LOGIN_FAILURE_WINDOW_SECONDS: ['0', '86401'],
    LOGIN_FAILURES_PER_ACCOUNT_AND_ADDRESS: ['0', '1001'],
    LOGIN_FAILURES_PER_ADDRESS: ['0', '100001'],
    SHUTDOWN_TIMEOUT_SECONDS: ['0', '301'],
  };
  it.each(Object.keys(bad))('is refused with a %s that breaks its rule, and names it', (name) => {
    for (const value of bad[name]!) {
      const problems = problemsOf({ ...PRODUCTION, [name]: value });
      expect([value, problems.filter((problem) => problem.startsWith(`${name} `)).length]).toEqual([
        value,
        1,
      ]);
    }
  });

  it('lists every problem at once, by name and never by value', () => {
    const values = Object.fromEntries(Object.entries(bad).map(([name, [value]]) => [name, value]));
    const secret = 'hunter2';
    const environment = {
      ...values,
      NODE_ENV: 'production',
      DATABASE_URL: `mysql://a:${secret}@b`,
      JWT_SECRET: secret,
    };
    const problems = problemsOf({ ...environment, API_KEY_PEPPERS: secret });
    const named = new Set(problems.map((problem) => problem.split(' ')[0]));
    const broken = new Set(
      [...Object.keys(environment), 'API_KEY_PEPPERS'].filter((name) => name !== 'NODE_ENV'),
    );
    expect(named).toEqual(broken);
    expect(new ConfigurationError(problems).message).not.toContain(secret);
  });

  it('needs a database where a role for migrations is named', () => {
    const url = 'postgresql://owner:x@db/latchkey';
    expect(problemsOf({ ...PRODUCTION, DATABASE_URL: '', DATABASE_MIGRATION_URL: url })).toEqual([
      'DATABASE_MIGRATION_URL needs DATABASE_URL: the embedded PostgreSQL has one role.',
    ]);
  });

  it('shows no secret when it is printed', () => {
    const config = loadConfig({
      ...PRODUCTION,
      ADMIN_PASSWORD: 'an admin passphrase',
      REDIS_URL: 'redis://:hunter2@r',
    });
    const printed = JSON.stringify(config) + inspect(config, { depth: null, showHidden: true });
    for (const secret of [STRONG, 'hunter2', 'an admin passphrase']) expect(printed).not.toContain(secret);
  });
});
