import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import type { ApiClient } from '../support/api-client.js';
import { setPermissions } from '../support/api-keys.js';
import { TestApp, type TestUser } from '../support/test-app.js';
import { withSession } from './sessions.js';
import { codeOf, settle, verdictOf } from './verdicts.js';

/** A change at the database's own prompt, and the code of a key that was valid in memory. `$KEY` and `$OWNER` are ids. */
const CHANGES: readonly (readonly [what: string, sql: string, code: string])[] = [
  ['a key is updated', 'UPDATE api_keys SET is_active = false WHERE id = $KEY', 'DISABLED'],
  ['a key is marked deleted', 'UPDATE api_keys SET deleted_at = now() WHERE id = $KEY', 'NOT_FOUND'],
  ['a key is given to a dead owner', 'UPDATE api_keys SET user_id = $DEAD WHERE id = $KEY', 'DISABLED'],
  ['all keys are updated', 'UPDATE api_keys SET is_active = false', 'DISABLED'],
  [
    'a secret is retired',
    `UPDATE api_key_secrets SET retires_at = '2020-01-01' WHERE api_key_id = $KEY`,
    'NOT_FOUND',
  ],
  ['a secret is removed', 'DELETE FROM api_key_secrets WHERE api_key_id = $KEY', 'NOT_FOUND'],
  [
    'a secret is replaced',
    `UPDATE api_key_secrets SET digest = sha256('$KEY') WHERE api_key_id = $KEY`,
    'NOT_FOUND',
  ],
  [
    'a secret is given to another key',
    'UPDATE api_key_secrets SET api_key_id = $OTHER WHERE api_key_id = $KEY',
    'DISABLED',
  ],
  ['the owner is disabled', 'UPDATE users SET is_active = false WHERE id = $OWNER', 'DISABLED'],
  ['the owner is marked deleted', 'UPDATE users SET deleted_at = now() WHERE id = $OWNER', 'DISABLED'],
  [
    'a key is merged',
    `MERGE INTO api_keys USING (SELECT $KEY AS id) AS source USING_ON WHEN MATCHED THEN UPDATE SET is_active = false`,
    'DISABLED',
  ],
  [
    'a key is written by an upsert',
    `INSERT INTO api_keys (id, user_id, name, key_prefix) OVERRIDING SYSTEM VALUE VALUES ($KEY, $OWNER, 'x', 'x')
     ON CONFLICT (id) DO UPDATE SET is_active = false`,
    'DISABLED',
  ],
  [
    'a key is written by a statement within another',
    'WITH changed AS (UPDATE api_keys SET is_active = false WHERE id = $KEY) SELECT 1',
    'DISABLED',
  ],
];

/** Only a session that replicates can take these away from under what refers to them. */
const REMOVALS: typeof CHANGES = [
  ['a key is removed', 'DELETE FROM api_keys WHERE id = $KEY', 'NOT_FOUND'],
  ['the owner is removed', 'DELETE FROM users WHERE id = $OWNER', 'NOT_FOUND'],
];

/** A change at the prompt, and the status that a caller then gets who was known from memory. `$OWNER` is the caller. */
const CALLER_CHANGES: readonly (readonly [what: string, sql: string, bySession: number, byKey: number])[] = [
  ['their permissions', `UPDATE users SET permissions = '{}' WHERE id = $OWNER`, 403, 403],
  [
    'the permissions of their role',
    `UPDATE roles SET permissions = '{platform:usage:write}' WHERE name = 'service'`,
    403,
    403,
  ],
  ['their state', 'UPDATE users SET is_active = false WHERE id = $OWNER', 401, 401],
  ['the end of their session', 'UPDATE sessions SET ended_at = now() WHERE user_id = $OWNER', 401, 200],
  ['the removal of their session', 'DELETE FROM sessions WHERE user_id = $OWNER', 401, 200],
  ['the time their session ends', 'UPDATE sessions SET expires_at = now() WHERE user_id = $OWNER', 401, 200],
];

describe('memory follows the database, however that is changed', () => {
  let app: TestApp;
  let nobody: TestUser;
  beforeAll(async () => {
    app = await TestApp.start();
    nobody = await app.user();
    await app.database.query('UPDATE users SET is_active = false WHERE id = $1', [nobody.id]);
    // So many that one statement over all of them is noted as everything.
    await app.database.query(
      `INSERT INTO api_keys (user_id, name, key_prefix) SELECT $1, 'filler', 'x' FROM generate_series(1, 6000)`,
      [nobody.id],
    );
  });
  afterAll(() => app.stop());

  async function run(sql: string, ids: Readonly<Record<string, number>>, role: string): Promise<void> {
    const text = sql.replace(/\$([A-Z]+)/g, (_, name: string) => String(ids[name]));
    await withSession(app.database, async (session) => {
      await session.query(`SET session_replication_role = ${role}`);
      await session.query(text.replace('AS source USING_ON', 'AS source ON api_keys.id = source.id'));
    });
  }

  describe.each(['origin', 'replica'])('in a session whose replication role is %s', (role) => {
    it.each(role === 'replica' ? [...CHANGES, ...REMOVALS] : CHANGES)('when %s', async (_what, sql, code) => {
      const owner = await app.user({ permissions: ['platform:*'] });
      const [key, other] = [await app.apiKey(owner.client), await app.apiKey(owner.client)];
      await app.database.query('DELETE FROM api_key_secrets WHERE api_key_id = $1', [other.id]);
      await app.database.query('UPDATE api_keys SET user_id = $2 WHERE id = $1', [other.id, nobody.id]);
      expect(await codeOf(app.admin, key.secret)).toBe('VALID');
      await run(sql, { KEY: key.id, OTHER: other.id, OWNER: owner.id, DEAD: nobody.id }, role);
      await becomes(() => codeOf(app.admin, key.secret), code);
    });
  });

  it.each(CALLER_CHANGES)(
    'and what it knows of a caller follows %s',
    async (_what, sql, bySession, byKey) => {
      const caller = await app.user({ role: 'service', permissions: ['platform:api-keys:verify'] });
      const isOfRole = sql.includes('roles');
      const key = await app.apiKeyOf(caller, { scopes: ['platform:api-keys:verify'] });
      await setPermissions(app, caller, isOfRole ? [] : ['platform:api-keys:verify']);
      if (!isOfRole) await app.admin.put(`/users/${caller.id}`, { role: 'user' });
      await settle(app);
      const ask = async (client: ApiClient) => (await client.post('/api-keys/verify', { key: 'x' })).status;
      const asKey = app.anonymous.withApiKey(key.secret);
      expect([await ask(caller.client), await ask(asKey)]).toEqual([200, 200]);
      await run(sql, { OWNER: caller.id }, 'replica');
      await becomes(() => ask(caller.client), bySession);
      await becomes(() => ask(asKey), byKey);
    },
  );

  it('but not what changes no policy: a use, a refresh of a session, a new key', async () => {
    const user = await app.user({ permissions: ['platform:*'] });
    const changes = async () =>
      (
        await app.database.query<{ last: number }>(
          'SELECT coalesce(max(seq), 0)::int AS last FROM change_feed',
        )
      )[0]!.last;
    const before = await changes();
    const key = await app.apiKey(user.client);
    expect((await verdictOf(app.admin, key.secret))['valid']).toBe(true);
    await app.database.query('UPDATE sessions SET expires_at = expires_at + $1 WHERE user_id = $2', [
      '1 day',
      user.id,
    ]);
    await app.database.query('UPDATE users SET updated_at = now(), password_hash = $1 WHERE id = $2', [
      'x',
      user.id,
    ]);
    expect(await changes()).toBe(before);
  });

  it('and when whole tables are emptied', async () => {
    const { secret } = await app.apiKey();
    const service = await app.apiKey(app.admin, { scopes: ['platform:api-keys:verify'] });
    const asKey = app.anonymous.withApiKey(service.secret);
    const status = async () => (await asKey.post('/api-keys/verify', { key: secret })).status;
    for (const table of ['api_keys', 'api_key_secrets', 'users', 'sessions', 'roles']) {
      await withSession(app.database, async (session) => {
        await session.query(`BEGIN; SET LOCAL session_replication_role = replica; TRUNCATE ${table} CASCADE`);
        const { rows } = await session.query(
          'SELECT kind FROM change_feed WHERE xid = pg_current_xact_id() LIMIT 1',
        );
        expect([table, rows]).toEqual([table, [{ kind: 'everything' }]]);
        await session.query('ROLLBACK');
      });
    }
    expect(await status()).toBe(200);
    await app.database.query('TRUNCATE api_key_secrets');
    await becomes(status, 401);
  });
});

/** Asks until the answer is what it must become: within the bound of the change feed. */
async function becomes(ask: () => Promise<unknown>, expected: unknown): Promise<void> {
  await vi.waitFor(async () => expect(await ask()).toBe(expected), { timeout: 5_000, interval: 5 });
}
