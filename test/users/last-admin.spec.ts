import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { LockedRow } from '../support/locked-row.js';
import { expectProblem } from '../support/problems.js';
import { TestApp, type TestUser } from '../support/test-app.js';

describe('the last active admin', () => {
  let app: TestApp;
  beforeAll(async () => {
    app = await TestApp.start();
  });
  afterAll(() => app.stop());

  async function activeAdmins(): Promise<number[]> {
    const rows = await app.database.query<{ id: number }>(
      `SELECT id::int FROM users WHERE role = 'admin' AND is_active AND deleted_at IS NULL ORDER BY id`,
    );
    return rows.map(({ id }) => id);
  }

  const DETAIL = 'The last active admin cannot be disabled, demoted or deleted.';
  const ends: Record<string, (id: number) => Promise<{ status: number }>> = {
    disabled: (id) => app.admin.put(`/users/${id}`, { is_active: false }),
    demoted: (id) => app.admin.put(`/users/${id}`, { role: 'developer' }),
    'demoted and disabled': (id) => app.admin.put(`/users/${id}`, { role: 'user', is_active: false }),
    deleted: (id) => app.admin.delete(`/users/${id}`),
  };

  it('cannot be disabled, demoted or deleted', async () => {
    expectProblem(await app.admin.put('/users/1', { is_active: false }), 'user.last_admin', DETAIL);
    expectProblem(await app.admin.put('/users/1', { role: 'auditor' }), 'user.last_admin', DETAIL);
    expectProblem(await app.admin.delete('/users/1'), 'user.last_admin', DETAIL);
    expect(await activeAdmins()).toEqual([1]);
    expect((await app.admin.put('/users/1', { permissions: ['platform:*'] })).status).toBe(200);
  });

  it('is still the last one where the others are disabled, deleted or hold its permissions by other means', async () => {
    const [disabled, deleted] = [await app.user({ role: 'admin' }), await app.user({ role: 'admin' })];
    await app.user({ role: 'user', permissions: ['platform:*'] });
    await app.admin.put(`/users/${disabled.id}`, { is_active: false });
    await app.admin.delete(`/users/${deleted.id}`);
    expectProblem(await app.admin.delete('/users/1'), 'user.last_admin', DETAIL);
    expect(await activeAdmins()).toEqual([1]);
  });

  it.each(Object.keys(ends))('another one can be %s', async (name) => {
    const other = await app.user({ role: 'admin' });
    expect((await ends[name]!(other.id)).status).toBe(200);
    expect(await activeAdmins()).toEqual([1]);
  });

  it.each(['PUT', 'DELETE'])('remains when all admins end each other at once: %s', async (method) => {
    const admins = await Promise.all([1, 2, 3].map(() => app.user({ role: 'admin' })));
    await app.database.query('UPDATE users SET is_active = false WHERE id = 1');
    const body = method === 'PUT' ? { role: 'user' } : undefined;
    const path = ({ id }: TestUser) => `/users/${id}`;
    const answers = await Promise.all(
      admins.map(({ client }, index) => client.send(method, path(admins[(index + 1) % 3]!), { body })),
    );
    const statuses = answers.map(({ status }) => status);
    // Who was ended before their own request came is nobody (401), or somebody without the permission (403).
    expect(statuses.every((status) => [200, 401, 403, 404, 409].includes(status))).toBe(true);
    expect(statuses).toContain(200);
    expect((await activeAdmins()).length).toBeGreaterThanOrEqual(1);
    await app.database.query(`UPDATE users SET is_active = true WHERE id = 1`);
    await app.database.query(`UPDATE users SET role = 'user' WHERE role = 'admin' AND id > 1`);
  });

  it('remains when two admins demote themselves at once', async () => {
    for (let round = 0; round < 3; round += 1) {
      const other = await app.user({ role: 'admin' });
      const answers = await Promise.all([
        app.admin.put('/users/1', { role: 'user' }),
        other.client.put(`/users/${other.id}`, { role: 'user' }),
      ]);
      expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([200, 409]));
      expect(await activeAdmins()).toHaveLength(1);
      await app.database.query(`UPDATE users SET role = CASE id WHEN 1 THEN 'admin' ELSE 'user' END`);
    }
  });

  it('may be decided about while the keys of another admin are being ended', async () => {
    const [leaving, other] = [await app.user({ role: 'admin' }), await app.user({ role: 'admin' })];
    const { id: keyId } = await app.apiKey(leaving.client);
    // The deletion waits for the key for a second at most; a machine that is slower than that tries again.
    let isDecided = false;
    for (let attempt = 0; attempt < 10 && !isDecided; attempt += 1) {
      await app.admin.put(`/users/${other.id}`, { role: 'admin' });
      const key = await LockedRow.lock(app.database, 'api_keys', keyId);
      let isOver = false;
      const deletion = app.admin.delete(`/users/${leaving.id}`).finally(() => (isOver = true));
      await key.untilWaiting(1);
      const { status } = await app.admin.put(`/users/${other.id}`, { role: 'user' });
      isDecided = status === 200 && !isOver;
      await key.release();
      await deletion;
    }
    expect(isDecided).toBe(true);
    await app.admin.delete(`/users/${leaving.id}`);
    await app.admin.put(`/users/${other.id}`, { role: 'user' });
    expect(await activeAdmins()).toEqual([1]);
  });
});
