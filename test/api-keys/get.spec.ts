import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { apiKeyBody, ownerOfKeys } from '../support/api-keys.js';
import { expectOneAuditRow } from '../support/audit-trail.js';
import { TestApp } from '../support/test-app.js';
import { writeTotals } from '../support/usage-rows.js';

describe('GET /api-keys/{id}', () => {
  let app: TestApp;
  beforeAll(async () => {
    app = await TestApp.start();
  });
  afterAll(() => app.stop());

  it('answers the whole key, without its secret, and one audit row', async () => {
    const { owner, key } = await ownerOfKeys(app, 1, { name: 'Mine', tags: ['x'] });
    const answer = await owner.client.get(`/api-keys/${key.id}`);
    expect(answer.status).toBe(200);
    expect(answer.headers.get('content-type')).toBe('application/json; charset=utf-8');
    expect(answer.body).toStrictEqual(apiKeyBody({ user_id: owner.id, name: 'Mine', tags: ['x'] }));
    expect(answer.body).toStrictEqual(key.body);
    await expectOneAuditRow(app.database, answer, {
      action: 'get_api_key',
      resource_type: 'api_key',
      resource_id: String(key.id),
      user_id: owner.id,
      details: {},
    });
  });

  it.each([
    ['499999', 0, '0.499999'],
    ['500000', 1, '0.500000'],
    ['1499999', 1, '1.499999'],
    ['1500000', 2, '1.500000'],
    ['9007199254740993', 9_007_199_255, '9007199254.740993'],
    ['9223372036854775807', 9_223_372_036_855, '9223372036854.775807'],
  ])('shows a cost of %s micro-cents rounded half up, and exactly', async (microCents, cents, decimal) => {
    const { id, body } = await app.apiKey();
    const lastUsedAt = '2026-11-22T09:12:00.123456+01:00';
    const totals = { requests: 3, tokens: 4000, costMicroCents: BigInt(microCents), lastUsedAt };
    await writeTotals(app.database, id, totals);
    const answer = await app.admin.get(`/api-keys/${id}`);
    expect(answer.body).toStrictEqual({
      ...body,
      total_requests: 3,
      total_requests_decimal: '3',
      total_tokens: 4000,
      total_tokens_decimal: '4000',
      total_cost_cents: cents,
      total_cost_cents_decimal: decimal,
      last_used_at: '2026-11-22T08:12:00.123Z',
    });
    const listed = await app.admin.get('/api-keys?size=1');
    expect(listed.body['api_keys']).toStrictEqual([answer.body]);
  });

  it('carries an ETag that every change of the policy moves, and counters do not', async () => {
    const { id } = await app.apiKey();
    const path = `/api-keys/${id}`;
    const etag = async () => (await app.admin.get(path)).headers.get('etag');
    expect(await etag()).toBe('"1"');
    await writeTotals(app.database, id, {
      requests: 5,
      tokens: 50,
      costMicroCents: 500n,
      lastUsedAt: '2026-11-22T08:12:00Z',
    });
    expect(await etag()).toBe('"1"');
    const changes = [
      () => app.admin.put(path, { name: 'Renamed' }),
      () => app.admin.post(`${path}/deactivate`),
      () => app.admin.post(`${path}/activate`),
      () => app.admin.post(`${path}/regenerate`),
    ];
    for (const [index, change] of changes.entries()) {
      expect((await change()).status).toBe(200);
      expect(await etag()).toBe(`"${index + 2}"`);
    }
    for (const nothing of [{}, { name: 'Renamed' }]) {
      expect((await app.admin.put(path, nothing)).headers.get('etag')).toBe('"5"');
    }
    expect((await app.admin.post(`${path}/activate`)).status).toBe(200);
    expect(await etag()).toBe('"5"');
  });
});
