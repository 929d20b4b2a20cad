import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { isAccepted, ownerOfKeys } from '../support/api-keys.js';
import { LockedRow } from '../support/locked-row.js';
import { expectProblem } from '../support/problems.js';
import { TestApp } from '../support/test-app.js';

describe('keys of a user who is deleted', () => {
  let app: TestApp;
  beforeAll(async () => {
    app = await TestApp.start();
  });
  afterAll(() => app.stop());

  const keysOf = async (userId: number) => (await app.admin.get(`/api-keys?user_id=${userId}`)).body['total'];

  it('end in the same change, each with an audit row of its own', async () => {
    const { owner, keys, key } = await ownerOfKeys(app, 3);
    await owner.client.delete(`/api-keys/${key.id}`);
    const answer = await app.admin.delete(`/users/${owner.id}`);
    expect(answer.status).toBe(200);
    for (const { id, secret } of keys) {
      expect(await isAccepted(app, secret)).toBe(false);
      expect((await app.admin.get(`/api-keys/${id}`)).status).toBe(404);
    }
    expect(await keysOf(owner.id)).toBe(0);
    const rows = await app.database.query(
      `SELECT resource_id::int AS id, details FROM audit_logs
       WHERE request_id = $1 AND action = 'delete_api_key' ORDER BY 1`,
      [answer.headers.get('x-request-id')],
    );
    const details = { name: 'A key', reason: 'owner_deleted' };
    const ended = keys.slice(1).map(({ id }) => ({ id, details }));
    expect(rows).toEqual(ended.toSorted((a, b) => a.id - b.id));
  });

  it('end together by thousands: each with its row, and without making anybody forget the keys of others', async () => {
    const { owner, key } = await ownerOfKeys(app, 1);
    await app.database.query(
      `INSERT INTO api_keys (user_id, name, key_prefix) SELECT $1, 'Key ' || n, 'en_thous' FROM generate_series(1, 4500) AS n`,
      [owner.id],
    );
    await app.database.query(
      `INSERT INTO api_key_secrets (digest, pepper_version, api_key_id, retires_at)
       SELECT sha256((id || kind)::bytea), 1, id, CASE kind WHEN 'retiring' THEN now() + interval '1 day' END
       FROM api_keys, (VALUES ('current'), ('retiring')) AS kinds (kind) WHERE key_prefix = 'en_thous'`,
    );
    const [before] = await app.database.query<{ seq: number }>(
      'SELECT max(seq)::int AS seq FROM change_feed',
    );
    const answer = await app.admin.delete(`/users/${owner.id}`);
    expect(answer.status).toBe(200);

    expect(await isAccepted(app, key.secret)).toBe(false);
    expect(await keysOf(owner.id)).toBe(0);
    const left = await app.database.query(
      `SELECT keys.id FROM api_keys AS keys
       LEFT JOIN api_key_secrets AS secrets ON secrets.api_key_id = keys.id
       LEFT JOIN api_key_search_texts AS texts ON texts.api_key_id = keys.id
       WHERE user_id = $1 AND (deleted_at IS NULL OR is_active OR digest IS NOT NULL OR text IS NOT NULL)`,
      [owner.id],
    );
    expect(left).toEqual([]);
    const unlike = await app.database.query(
      `SELECT keys.id, count(logs.id) FROM api_keys AS keys
       LEFT JOIN audit_logs AS logs ON logs.resource_id = keys.id::text AND logs.resource_type = 'api_key'
         AND logs.action = 'delete_api_key' AND logs.request_id = $2 AND logs.success
         AND logs.user_id = 1 AND logs.details = jsonb_build_object('name', keys.name, 'reason', 'owner_deleted')
       WHERE keys.user_id = $1 GROUP BY keys.id HAVING count(logs.id) <> 1`,
      [owner.id, answer.headers.get('x-request-id')],
    );
    expect(unlike).toEqual([]);
    const feed = await app.database.query<{ kind: string; rows: number }>(
      'SELECT kind, count(*)::int AS rows FROM change_feed WHERE seq > $1 GROUP BY kind ORDER BY kind',
      [before?.seq ?? 0],
    );
    expect(feed.map(({ kind }) => kind)).not.toContain('everything');
    // Of each full batch one row says whose keys, and one whose secrets, have changed.
    expect(feed.reduce((sum, { rows }) => sum + rows, 0)).toBeLessThan(100);
  });

  it('end while nobody but their owner waits: no other user is locked, admins neither', async () => {
    const [other, boss] = [await app.user({ role: 'admin' }), await app.user({ role: 'admin' })];
    const { owner, key } = await ownerOfKeys(app, 1);
    const row = await LockedRow.lock(app.database, 'api_keys', key.id);
    const deleted = boss.client.delete(`/users/${owner.id}`);
    await row.untilWaiting(1);
    const free = await app.database.query<{ id: number }>(
      'SELECT id::int AS id FROM users WHERE deleted_at IS NULL ORDER BY id FOR NO KEY UPDATE SKIP LOCKED',
    );
    await row.release();
    expect((await deleted).status).toBe(200);
    const ids = free.map(({ id }) => id);
    expect(ids).toEqual(expect.arrayContaining([1, other.id]));
    expect(ids).not.toContain(owner.id);
  });

  it('end once, also when one is being deleted at the same time', async () => {
    const { owner, key } = await ownerOfKeys(app, 1);
    const row = await LockedRow.lock(app.database, 'api_keys', key.id);
    const deletedKey = app.admin.delete(`/api-keys/${key.id}`);
    await row.untilWaiting(1);
    const deletedUser = app.admin.delete(`/users/${owner.id}`);
    await row.untilWaiting(2);
    await row.release();
    expect([(await deletedKey).status, (await deletedUser).status]).toEqual([200, 200]);
    const rows = await app.database.query(
      `SELECT details FROM audit_logs WHERE action = 'delete_api_key' AND resource_id = $1`,
      [String(key.id)],
    );
    expect(rows).toEqual([{ details: { name: 'A key' } }]);
  });

  it('are not made any more, also by a request that came before the end', async () => {
    const owner = await app.user({ role: 'developer' });
    const row = await LockedRow.lock(app.database, 'users', owner.id);
    const deleted = app.admin.delete(`/users/${owner.id}`);
    await row.untilWaiting(1);
    const made = owner.client.post('/api-keys', { name: 'Too late' });
    await row.untilWaiting(2);
    await row.release();
    expect((await deleted).status).toBe(200);
    expectProblem(await made, 'auth.credential_invalid');
    expect(await keysOf(owner.id)).toBe(0);
  });
});
