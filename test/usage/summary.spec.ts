import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ownerOfKeys } from '../support/api-keys.js';
import { expectOneAuditRow } from '../support/audit-trail.js';
import type { ApiClient } from '../support/api-client.js';
import { expectInvalid, expectProblem } from '../support/problems.js';
import { TestApp } from '../support/test-app.js';
import { usageEvent } from '../support/usage-events.js';
import { writeRollup } from '../support/usage-rows.js';

const DAY_MS = 86_400_000;
const SPAN = { from: '2026-03-01T00:00:00.000Z', to: '2026-03-04T00:00:00.000Z' };

describe('GET /usage/summary', () => {
  let app: TestApp;
  beforeAll(async () => {
    app = await TestApp.start();
  });
  afterAll(() => app.stop());

  const ask = (client: ApiClient, query: Record<string, string> = SPAN) =>
    client.get(`/usage/summary?${new URLSearchParams(query).toString()}`);
  const rollUp = (apiKeyId: number, hour: string, requests: number, costMicroCents: bigint, model = '') =>
    writeRollup(app.database, apiKeyId, {
      hour: new Date(hour),
      requests,
      model,
      costMicroCents,
      requestTokens: requests * 10,
      responseTokens: requests,
    });

  it('sums one’s own keys up: in all, by key, by model and day by day, and leaves one audit row', async () => {
    const { owner, keys } = await ownerOfKeys(app, 2);
    const [a, b] = keys.map(({ id }) => id) as [number, number];
    const { keys: others } = await ownerOfKeys(app, 1);
    await rollUp(a, '2026-03-01T00:00:00Z', 1, 500_000n, 'm');
    await rollUp(a, '2026-03-03T23:00:00Z', 2, 700_000n);
    await rollUp(b, '2026-03-01T10:00:00Z', 4, 2_000_000n, 'm');
    await rollUp(b, '2026-02-28T23:00:00Z', 8, 1n, 'm');
    await rollUp(b, '2026-03-04T00:00:00Z', 16, 1n, 'm');
    await rollUp(others[0]!.id, '2026-03-01T10:00:00Z', 32, 1n, 'm');
    const answer = await ask(owner.client);
    expect(answer.status).toBe(200);
    const sums = (requests: number, cost_cents: number, cost_cents_decimal: string) => ({
      requests,
      requests_decimal: String(requests),
      request_tokens: requests * 10,
      request_tokens_decimal: String(requests * 10),
      response_tokens: requests,
      response_tokens_decimal: String(requests),
      tokens: requests * 11,
      tokens_decimal: String(requests * 11),
      cost_cents,
      cost_cents_decimal,
    });
    expect(answer.body).toEqual({
      user_id: owner.id,
      ...SPAN,
      total: sums(7, 3, '3.200000'),
      top_api_keys: [
        { api_key_id: b, name: 'A key', ...sums(4, 2, '2.000000') },
        { api_key_id: a, name: 'A key', ...sums(3, 1, '1.200000') },
      ],
      top_models: [
        { model: 'm', ...sums(5, 3, '2.500000') },
        { model: null, ...sums(2, 1, '0.700000') },
      ],
      days: [
        { day: '2026-03-01', ...sums(5, 3, '2.500000') },
        { day: '2026-03-02', ...sums(0, 0, '0.000000') },
        { day: '2026-03-03', ...sums(2, 1, '0.700000') },
      ],
    });
    await expectOneAuditRow(app.database, answer, {
      action: 'get_usage_summary',
      resource_type: 'usage',
      resource_id: null,
      user_id: owner.id,
      details: { filters: { ...SPAN, user_id: owner.id } },
    });
  });

  it('shows everyone’s, or one user’s, to who may read keys', async () => {
    const { owner, key } = await ownerOfKeys(app, 1);
    await rollUp(key.id, '2026-04-01T00:00:00Z', 3, 0n);
    const span = { from: '2026-04-01T00:00:00Z', to: '2026-04-02T00:00:00Z' };
    const reader = await app.user({ permissions: ['platform:api-keys:read'] });
    expect((await ask(reader.client, span)).body).toMatchObject({ user_id: null, total: { requests: 3 } });
    expect((await ask(reader.client, { ...span, user_id: String(owner.id) })).body).toMatchObject({
      user_id: owner.id,
      total: { requests: 3 },
    });
    expect((await ask(reader.client, { ...span, user_id: String(reader.id) })).body).toMatchObject({
      total: { requests: 0 },
      top_api_keys: [],
      top_models: [],
    });
  });

  it('refuses to show another’s keys without the permission, and any to a key without it', async () => {
    const { owner, key } = await ownerOfKeys(app, 1);
    const stranger = await app.user();
    const ofOwner = { user_id: String(owner.id) };
    expectProblem(await ask(stranger.client, ofOwner), 'permission.denied');
    expect((await ask(owner.client, ofOwner)).status).toBe(200);
    expectProblem(await ask(app.anonymous.withApiKey(key.secret)), 'permission.denied');
    expect((await ask(app.anonymous)).status).toBe(401);
  });

  it('names the ten keys and the ten models that cost most, those first', async () => {
    const { owner, keys } = await ownerOfKeys(app, 12);
    for (const [index, { id }] of keys.entries()) {
      await rollUp(id, '2026-03-01T00:00:00Z', 1, BigInt(index) * 9_999_999n, `model-${index}`);
    }
    const { body } = await ask(owner.client);
    const expected = Array.from({ length: 10 }, (_value, index) => 11 - index);
    expect(body['top_api_keys'].map((entry: { api_key_id: number }) => entry.api_key_id)).toEqual(
      expected.map((index) => keys[index]!.id),
    );
    expect(body['top_models'].map((entry: { model: string }) => entry.model)).toEqual(
      expected.map((index) => `model-${index}`),
    );
    expect(body['total']).toMatchObject({ requests: 12 });
  });

  it('counts what a key used before it was deleted', async () => {
    const { owner, key } = await ownerOfKeys(app, 1, { name: 'Gone' });
    await rollUp(key.id, '2026-03-01T00:00:00Z', 5, 0n);
    expect((await owner.client.delete(`/api-keys/${key.id}`)).status).toBe(200);
    expect((await ask(owner.client)).body).toMatchObject({
      total: { requests: 5 },
      top_api_keys: [{ api_key_id: key.id, name: 'Gone' }],
    });
  });

  it('shows the last 30 days by default, an event of a moment ago and a late one included', async () => {
    const { owner, key } = await ownerOfKeys(app, 1);
    const now = app.clock.now().getTime();
    const late = new Date(now - 29 * DAY_MS).toISOString();
    await app.admin.post('/usage', [usageEvent(key.id), usageEvent(key.id, { occurred_at: late })]);
    const { body } = await ask(owner.client, {});
    const days = body['days'] as { day: string; requests: number }[];
    expect(days).toHaveLength(30);
    expect([days[0], days.at(-1)]).toMatchObject([
      { day: late.slice(0, 10), requests: 1 },
      { day: new Date(now).toISOString().slice(0, 10), requests: 1 },
    ]);
  });

  it('reaches to the last hour of the year 9999, and no further', async () => {
    const { status, body } = await app.admin.get('/usage/summary?to=9999-12-31T23:59:59Z');
    expect([status, body['to']]).toEqual([200, '9999-12-31T23:00:00.000Z']);
  });

  it('adds up beyond what a float keeps', async () => {
    const { owner, keys } = await ownerOfKeys(app, 3);
    for (const { id } of keys) await rollUp(id, '2026-03-01T00:00:00Z', 1, 9_007_199_254_740_993n);
    expect((await ask(owner.client)).body['total']).toMatchObject({
      cost_cents_decimal: '27021597764.222979',
      cost_cents: 27_021_597_764,
    });
  });

  it.each([
    [{ from: '2026-03-02T00:00:00Z', to: '2026-03-01T00:00:00Z' }, 'to'],
    [{ from: '2025-03-01T00:00:00Z', to: '2026-03-03T00:00:00Z' }, 'from'],
    [{ user_id: 'x' }, 'user_id'],
    [{ interval: 'day' }, 'interval'],
  ])('refuses %j, naming %s', async (query: Record<string, string>, field) => {
    expectInvalid(await ask(app.admin, query), { field, message: expect.any(String) });
  });

  it('finds the rollups of a span without reading the others', async () => {
    await app.database.query(
      `INSERT INTO usage_hourly_rollups (api_key_id, hour, model, requests, request_tokens, response_tokens, cost_micro_cents)
       SELECT 1000000 + n % 500, timestamptz '2020-01-01Z' + n / 500 * interval '1 hour', '', 1, 1, 1, 1 FROM generate_series(0, 199999) AS n`,
    );
    await app.database.query('ANALYZE usage_hourly_rollups');
    const plan = await app.database.query<{ 'QUERY PLAN': string }>(
      `EXPLAIN SELECT sum(requests) FROM usage_hourly_rollups WHERE hour >= '2020-01-02Z' AND hour < '2020-01-03Z'`,
    );
    expect(plan.map((line) => line['QUERY PLAN']).join('\n')).toMatch(/usage_hourly_rollups_hour_idx/);
  });
});
