import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Maintenance } from '../../src/jobs/maintenance.service.js';
import { untilAnswered } from '../support/api-keys.js';
import { TestApp, type TestApiKey, type TestUser } from '../support/test-app.js';

describe('the total of GET /api-keys', () => {
  let app: TestApp;
  let second: TestApp;
  let owners: TestUser[];
  beforeAll(async () => {
    app = await TestApp.start();
    second = await TestApp.start({ database: app.database });
    owners = [await app.user({ role: 'developer' }), await app.user({ role: 'developer' })];
  });
  afterAll(async () => {
    await second.stop();
    await app.stop();
  });

  const fold = () => app.app.get(Maintenance).runNow('fold-api-key-counts');
  const total = async (query: string) => (await app.admin.get(`/api-keys?size=1&${query}`)).body['total'];

  /** Every total that counters answer, beside the truth. */
  const expectExactTotals = async () => {
    const choices = [undefined, ...owners.map(({ id }) => id)].flatMap((userId) =>
      [undefined, true, false].map((isActive) => ({ userId, isActive })),
    );
    const kept = choices.map(async ({ userId, isActive }) => {
      const byUser = userId === undefined ? '' : `user_id=${userId}&`;
      const byState = isActive === undefined ? '' : `is_active=${isActive}`;
      return { userId, isActive, total: await total(byUser + byState) };
    });
    const counted = choices.map(async ({ userId, isActive }) => {
      const [row] = await app.database.query<{ total: number }>(
        `SELECT count(*)::int AS total FROM api_keys
         WHERE deleted_at IS NULL AND ($1::bigint IS NULL OR user_id = $1) AND ($2::boolean IS NULL OR is_active = $2)`,
        [userId ?? null, isActive ?? null],
      );
      return { userId, isActive, ...row };
    });
    expect(await Promise.all(kept)).toEqual(await Promise.all(counted));
  };

  it('is exact after every single change, folded or not', async () => {
    const [owner] = owners as [TestUser];
    const { id } = await app.apiKey(owner.client);
    await expectExactTotals();
    const path = `/api-keys/${id}`;
    const changes = [
      () => app.admin.post(`${path}/deactivate`),
      () => app.admin.post(`${path}/deactivate`),
      () => app.admin.put(path, { is_active: true }),
      () => app.admin.put(path, { name: 'Renamed' }),
      () => app.admin.post(`${path}/regenerate`),
      () => app.admin.post(`${path}/deactivate`),
      () => app.admin.delete(path),
    ];
    for (const [index, change] of changes.entries()) {
      expect((await change()).status).toBe(200);
      if (index % 2 === 0) await fold();
      await expectExactTotals();
    }
  });

  it('counts nothing of a change that was rolled back', async () => {
    const before = await total('');
    expect(
      (await app.admin.post('/api-keys', { name: 'x', expires_at: '2020-01-01T00:00:00Z' })).status,
    ).toBe(422);
    expect(await total('')).toBe(before);
  });

  it('stays exact while many create, switch and delete at once on two instances and the job folds', async () => {
    const keys: TestApiKey[] = await Promise.all(
      Array.from({ length: 30 }, (_, n) => app.apiKey(owners[n % 2]?.client)),
    );
    const admins = [app.admin, second.admin];
    const work = keys.flatMap(({ id }, n) => {
      const admin = admins[n % 2] ?? app.admin;
      const owner = owners[n % 2]?.client ?? app.admin;
      return [
        () => owner.post('/api-keys', { name: `Made ${n}` }),
        () => admin.post(`/api-keys/${id}/deactivate`),
        () => admin.put(`/api-keys/${id}`, { is_active: n % 3 === 0 }),
        () => (n % 2 === 0 ? admin.delete(`/api-keys/${id}`) : admin.post(`/api-keys/${id}/activate`)),
      ];
    });
    const folds = Array.from({ length: 5 }, () => fold());
    const totals = Array.from({ length: 10 }, () => total(''));
    await Promise.all([...folds, ...work.map((step) => untilAnswered(step))]);
    for (const seen of await Promise.all(totals)) expect(seen).toBeGreaterThanOrEqual(0);
    await expectExactTotals();
    await fold();
    await expectExactTotals();
    const left = await app.database.query('SELECT FROM api_key_count_changes');
    expect(left).toEqual([]);
  });

  it('follows the end of a user', async () => {
    const owner = await app.user({ role: 'developer' });
    owners.push(owner);
    await Promise.all([app.apiKey(owner.client), app.apiKey(owner.client)]);
    await fold();
    await app.admin.delete(`/users/${owner.id}`);
    await expectExactTotals();
    expect(await total(`user_id=${owner.id}`)).toBe(0);
  });
});
