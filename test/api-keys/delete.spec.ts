import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { API_KEY_OPERATIONS, attempt } from '../support/api-key-operations.js';
import { isAccepted, ownerOfKeys, untilAnswered } from '../support/api-keys.js';
import { expectOneAuditRow } from '../support/audit-trail.js';
import { expectProblem } from '../support/problems.js';
import { TestApp } from '../support/test-app.js';
import { writeRollup, writeTotals } from '../support/usage-rows.js';

describe('DELETE /api-keys/{id}', () => {
  let app: TestApp;
  beforeAll(async () => {
    app = await TestApp.start();
  });
  afterAll(() => app.stop());

  it('answers the message of the seed and leaves one audit row with the name', async () => {
    const { owner, key } = await ownerOfKeys(app, 1, { name: 'Doomed' });
    const answer = await owner.client.delete(`/api-keys/${key.id}`);
    expect(answer.status).toBe(200);
    expect(answer.body).toStrictEqual({ message: 'API key deleted successfully' });
    await expectOneAuditRow(app.database, answer, {
      action: 'delete_api_key',
      resource_type: 'api_key',
      resource_id: String(key.id),
      user_id: owner.id,
      details: { name: 'Doomed' },
    });
  });

  it('ends the secret at once, and one that is retiring too', async () => {
    const key = await app.apiKey();
    const path = `/api-keys/${key.id}`;
    const { body } = await app.admin.post(`${path}/regenerate`, { grace_period_seconds: 600 });
    const secrets = [key.secret, body['secret_key']];
    for (const secret of secrets) expect(await isAccepted(app, secret)).toBe(true);
    await app.admin.delete(path);
    for (const secret of secrets) expect(await isAccepted(app, secret)).toBe(false);
    const kept = await app.database.query('SELECT FROM api_key_secrets WHERE api_key_id = $1', [key.id]);
    expect(kept).toEqual([]);
  });

  it('takes the key from every read, list and count', async () => {
    const { owner, keys, key: gone } = await ownerOfKeys(app, 2, { name: 'Findable', tags: ['findable'] });
    await owner.client.delete(`/api-keys/${gone.id}`);
    for (const query of [
      '',
      '?search=findable',
      '?tag=findable',
      '?is_active=true',
      `?user_id=${owner.id}`,
    ]) {
      const { body } = await owner.client.get(`/api-keys${query}`);
      expect({
        query,
        ids: body['api_keys'].map(({ id }: { id: number }) => id),
        total: body['total'],
      }).toEqual({
        query,
        ids: [keys[1]?.id],
        total: 1,
      });
    }
    const inactive = await app.admin.get(`/api-keys?user_id=${owner.id}&is_active=false`);
    expect(inactive.body).toMatchObject({ api_keys: [], total: 0 });
    for (const operation of API_KEY_OPERATIONS.filter(({ hasId }) => hasId)) {
      const answer = await attempt(operation, app.admin, { id: gone.id, ownerId: owner.id });
      expectProblem(answer, 'api_key.not_found', 'API key not found');
    }
  });

  it('keeps usage and audit history', async () => {
    const { id } = await app.apiKey();
    await writeTotals(app.database, id, {
      requests: 5,
      tokens: 50,
      costMicroCents: 500n,
      lastUsedAt: '2026-11-22T08:12:00Z',
    });
    await writeRollup(app.database, id, { hour: new Date('2026-11-22T08:00:00Z'), requests: 5 });
    await app.admin.delete(`/api-keys/${id}`);
    const [history] = await app.database.query(
      `SELECT (SELECT requests::int FROM api_key_totals WHERE api_key_id = $1) AS totals,
        (SELECT requests::int FROM usage_hourly_rollups WHERE api_key_id = $1) AS rollups,
        (SELECT array_agg(action ORDER BY id) FROM audit_logs WHERE resource_type = 'api_key' AND resource_id = $1::text)
          AS actions`,
      [id],
    );
    expect(history).toEqual({ totals: 5, rollups: 5, actions: ['create_api_key', 'delete_api_key'] });
  });

  it('of one key by many at once happens once', async () => {
    const { id } = await app.apiKey();
    const answers = await Promise.all(
      Array.from({ length: 8 }, () => untilAnswered(() => app.admin.delete(`/api-keys/${id}`))),
    );
    expect(answers.map(({ status }) => status).toSorted((a, b) => a - b)).toEqual([
      200,
      ...Array(7).fill(404),
    ]);
    const rows = await app.database.query(
      `SELECT FROM audit_logs WHERE action = 'delete_api_key' AND resource_id = $1`,
      [String(id)],
    );
    expect(rows).toHaveLength(1);
  });
});
