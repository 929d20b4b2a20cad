import { createHmac } from 'node:crypto';
import { hash } from 'bcrypt';
import pg from 'pg';
import { DataSource } from 'typeorm';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { longRunningOptions } from '../../src/database/connection-options.js';
import { DatabaseServer } from '../../src/database/database-server.js';
import { migrate } from '../../src/database/migrate.js';
import { Organizations1764374400000 } from '../../src/database/migrations/1764374400000-organizations.js';
import { createTestDatabase, type TestDatabase } from '../support/database.js';
import { ADMIN, logIn, TestApp, testEnvironment } from '../support/test-app.js';

const IS_LONG = process.env['LATCHKEY_LONG'] === '1';
const KEYS = IS_LONG ? 1_000_000 : 5_000;
const USERS = KEYS / 100;
const SECRET = 'en_0123456789ABCDEFGHIJKLMNOPQRSTUV206ZPL';
const MOST_SECONDS = 60;
/** A statement of the migration that has to wait for a table gives up soon, and comes back later. */
const MOST_WAIT_MS = IS_LONG ? 10_000 : 2_500;

/** What instances of the version before do meanwhile, each again and again; `$1` is a number that grows. */
const STATEMENTS = {
  'creates users': `INSERT INTO users (username, password_hash, role) VALUES ('late-' || $1::integer, 'none', 'developer')`,
  'creates keys': `INSERT INTO api_keys (user_id, name, key_prefix) VALUES (1 + $1::integer % ${USERS}, 'late', 'en_abcde')`,
  'changes keys': `UPDATE api_keys SET description = 'changed ' || $1::integer, version = version + 1 WHERE id = 1 + $1::integer`,
  'changes users': `UPDATE users SET permissions = ARRAY['platform:usage:write'] WHERE id = 3 + $1::integer % 10`,
  'opens sessions': `INSERT INTO sessions (id, user_id, created_at, expires_at)
    VALUES (gen_random_uuid(), 1 + $1::integer % ${USERS}, now(), now() + interval '1 day')`,
} as const;

interface Writer {
  /** How often the statement ran, and the longest that it took. */
  count: number;
  longestMs: number;
}

describe(`the migration to organizations of a database with ${KEYS} keys`, { timeout: 300_000 }, () => {
  let database: TestDatabase;
  let seconds: number;
  const writers = new Map<string, Writer>();
  const failures: unknown[] = [];

  beforeAll(async () => {
    database = await createTestDatabase();
    await goBack();
    await fill();
    let isMigrating = true;
    const writing = Object.entries(STATEMENTS).map(([name, text]) => write(name, text, () => isMigrating));
    const startedAt = performance.now();
    try {
      await migrate(database.url);
      seconds = (performance.now() - startedAt) / 1_000;
    } finally {
      isMigrating = false;
      await Promise.all(writing);
    }
  }, 900_000);
  afterAll(() => database.drop());

  /** Takes the migration back: the schema of the version before. */
  async function goBack(): Promise<void> {
    const dataSource = await new DataSource(
      longRunningOptions(new DatabaseServer(database.url)),
    ).initialize();
    const migration = new Organizations1764374400000();
    await migration.down(dataSource.createQueryRunner());
    await dataSource.destroy();
    await database.query('DELETE FROM schema_migrations WHERE name = $1', [migration.name]);
  }

  /** An admin, users of each role, and keys of all of them. */
  async function fill(): Promise<void> {
    const pepper = testEnvironment('')['API_KEY_PEPPERS']!.slice('1:'.length);
    const digest = createHmac('sha256', pepper).update(SECRET).digest();
    const passwordHash = await hash(ADMIN.password, 4);
    await database.query(
      `INSERT INTO users (username, password_hash, role) VALUES ($1, $2, 'admin'), ('member', $2, 'developer')`,
      [ADMIN.username, passwordHash],
    );
    await database.query(`
      UPDATE users SET permissions = '{platform:audit:read}' WHERE username = 'member';
      INSERT INTO users (username, password_hash, role, deleted_at)
        SELECT 'user-' || n, 'none', (ARRAY['user', 'developer', 'service'])[1 + n % 3], CASE WHEN n % 10 = 0 THEN now() END
        FROM generate_series(3, ${USERS}) AS n;
      INSERT INTO api_keys (user_id, name, key_prefix, deleted_at)
        SELECT 1 + n % ${USERS}, 'key ' || n, 'en_abcde', CASE WHEN n % 20 = 5 THEN now() END FROM generate_series(0, ${KEYS - 1}) AS n;
      INSERT INTO api_key_secrets (digest, pepper_version, api_key_id) SELECT sha256(id::text::bytea), 1, id FROM api_keys WHERE id > 1;
      INSERT INTO sessions (id, user_id, created_at, expires_at)
        SELECT gen_random_uuid(), id, now(), now() + interval '1 day' FROM users;
      INSERT INTO budget_accounts (api_key_id, limit_micro_cents) VALUES (1, 1000000000);
      ANALYZE;`);
    await database.query(
      'INSERT INTO api_key_secrets (digest, pepper_version, api_key_id) VALUES ($1, 1, 1)',
      [digest],
    );
  }

  async function write(name: string, text: string, isWanted: () => boolean): Promise<void> {
    const client = new pg.Client({ connectionString: database.url });
    await client.connect();
    const writer = { count: 0, longestMs: 0 };
    writers.set(name, writer);
    while (isWanted()) {
      const startedAt = performance.now();
      await client
        .query(text, [writer.count])
        .catch((error: unknown) => failures.push(`${name}: ${String(error)}`));
      writer.longestMs = Math.max(writer.longestMs, performance.now() - startedAt);
      writer.count += 1;
    }
    await client.end();
  }

  const count = async (text: string) =>
    Number((await database.query<{ count: string }>(`SELECT count(*) FROM ${text}`))[0]!.count);
  const written = (name: keyof typeof STATEMENTS) => writers.get(name)!.count;

  it(`takes at most ${MOST_SECONDS} seconds`, () => {
    const longest = [...writers].map(([name, { longestMs }]) => `${name} ${longestMs.toFixed(0)} ms`);
    process.stdout.write(
      `Migrated ${KEYS} keys in ${seconds.toFixed(1)} s; the longest statement beside it: ${longest.join(', ')}.\n`,
    );
    expect(seconds).toBeLessThan(MOST_SECONDS);
  });

  it('refuses no statement of the version before that runs beside it, and keeps none waiting for long', () => {
    expect(failures.slice(0, 3)).toEqual([]);
    for (const [name, writer] of writers) {
      expect([name, writer.count > 1]).toEqual([name, true]);
      expect([name, writer.longestMs < MOST_WAIT_MS]).toEqual([name, true]);
    }
  });

  it('puts every key into the default project, those that were created meanwhile as well', async () => {
    expect(await count('api_keys')).toBe(KEYS + written('creates keys'));
    expect(
      await count(`api_keys WHERE organization_id <> 1 OR project_id <> 1 OR owner_kind <> 'person'`),
    ).toBe(0);
  });

  it('makes everyone a member of the default organization, who was there or came meanwhile, and nobody else', async () => {
    expect(await count('users')).toBe(USERS + written('creates users'));
    const missing = `users LEFT JOIN memberships ON memberships.user_id = users.id
        AND memberships.organization_id = 1 AND memberships.role = 'org_member'
      WHERE (memberships.user_id IS NULL) <> (users.deleted_at IS NOT NULL)`;
    expect(await count(missing)).toBe(0);
    expect(await count('memberships')).toBe(await count('users WHERE deleted_at IS NULL'));
    expect(await count('sessions')).toBe(USERS + written('opens sessions'));
  });

  it('sets no limits and no policies', async () => {
    expect(await count('policies')).toBe(0);
    expect(await count('budget_accounts WHERE project_id IS NOT NULL OR organization_id IS NOT NULL')).toBe(
      0,
    );
    expect(await count('budget_accounts WHERE parent_id IS NOT NULL')).toBe(0);
  });

  it('changes nothing for who knows of no organizations: rights, keys and verdicts stay', async () => {
    const app = await TestApp.start({ database });
    try {
      const member = await logIn(app.anonymous, 'member', ADMIN.password);
      expect((await member.get('/auth/me')).body).toMatchObject({
        role: 'developer',
        permissions: ['platform:api-keys:*', 'platform:audit:read'],
      });
      expect((await member.get('/users')).status).toBe(403);
      expect((await member.get('/audit-logs')).status).toBe(200);
      expect((await member.post('/api-keys', { name: 'A new key' })).status).toBe(201);
      expect((await app.admin.post('/api-keys/verify', { key: SECRET })).body).toMatchObject({
        code: 'VALID',
      });
      expect((await app.admin.get('/api-keys/1')).body).toMatchObject({ name: 'key 0', user_id: 1 });
    } finally {
      await app.stop();
    }
  });
});
