import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { isAccepted, ownerOfKeys } from '../support/api-keys.js';
import { HeldRow } from '../support/held-row.js';
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

  it('end once, also when one is being deleted at the same time', async () => {
    const { owner, key } = await ownerOfKeys(app, 1);
    const row = await HeldRow.lock(app.database, 'api_keys', key.id);
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
    const row = await HeldRow.lock(app.database, 'users', owner.id);
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
