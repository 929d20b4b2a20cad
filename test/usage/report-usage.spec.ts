import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { ApiClient } from '../support/api-client.js';
import { type TestApiKey, TestApp } from '../support/test-app.js';

/** An event of a key as a service reports it; `fields` override the defaults. */
function usageEvent(key: TestApiKey, fields: Record<string, unknown> = {}): Record<string, unknown> {
  return {
    api_key_id: key.id,
    request_id: randomUUID(),
    endpoint: '/v1/chat/completions',
    method: 'POST',
    model: 'gpt-4o',
    request_tokens: 100,
    response_tokens: 20,
    cost_cents: '0.25',
    ...fields,
  };
}

describe('POST /usage', () => {
  let app: TestApp;
  let reporter: ApiClient;
  beforeAll(async () => {
    app = await TestApp.start();
    reporter = (await app.user({ role: 'service' })).client;
  });
  afterAll(() => app.stop());

  const usageOf = async (key: TestApiKey) => (await app.admin.get(`/api-keys/${key.id}/usage`)).body;

  it('records an event and shows it in the statistics of its key', async () => {
    const key = await app.apiKey();
    const answer = await reporter.post('/usage', usageEvent(key));
    expect(answer.status).toBe(200);
    expect(answer.body).toEqual({ accepted: 1, duplicates: 0, conflicts: [], rejected: [] });
    expect(await usageOf(key)).toMatchObject({
      total_requests: 1,
      total_tokens: 120,
      total_cost_cents: 0,
      total_cost_cents_decimal: '0.250000',
      requests_today: 1,
      requests_this_hour: 1,
    });
  });

  it('counts an event once, however often and however concurrently it is sent', async () => {
    const key = await app.apiKey();
    const event = usageEvent(key);
    const answers = await Promise.all(
      Array.from({ length: 50 }, () => reporter.post('/usage', [event, event])),
    );
    expect(answers.reduce((sum, { body }) => sum + body['accepted'], 0)).toBe(1);
    expect(answers.reduce((sum, { body }) => sum + body['duplicates'], 0)).toBe(99);
    expect(await usageOf(key)).toMatchObject({ total_requests: 1 });
  });

  it('answers for each event of a long list in its place, whichever keys they are of', async () => {
    const [odd, even] = [await app.apiKey(), await app.apiKey()];
    const before = usageEvent(even);
    await reporter.post('/usage', before);
    const events = Array.from({ length: 200 }, (_, index) => usageEvent(index % 3 === 0 ? odd : even));
    events[70] = before;
    events[151] = usageEvent(odd, { hold_id: randomUUID() });
    events[152] = usageEvent(even, { hold_id: randomUUID() });
    const { body } = await reporter.post('/usage', events);
    expect(body).toMatchObject({ accepted: 197, duplicates: 1, rejected: [{ index: 151 }, { index: 152 }] });
    expect(await usageOf(odd)).toMatchObject({ total_requests: 67 });
    expect(await usageOf(even)).toMatchObject({ total_requests: 131 });
  });

  it('records every event, also past what its sums can count: those end at 2^63 − 1', async () => {
    const [rich, other] = [await app.apiKey(), await app.apiKey()];
    const most = () => usageEvent(rich, { cost_cents: '1000000000000' });
    const { body } = await reporter.post('/usage', [
      ...Array.from({ length: 9 }, most),
      usageEvent(other),
      most(),
      usageEvent(rich),
    ]);
    expect(body).toMatchObject({ accepted: 12, rejected: [] });
    expect(await usageOf(other)).toMatchObject({ total_requests: 1 });
    expect(await usageOf(rich)).toMatchObject({ total_requests: 11 });
    expect((await reporter.post('/usage', most())).body).toMatchObject({ accepted: 1 });
    expect(await usageOf(rich)).toMatchObject({
      total_requests: 12,
      total_cost_cents: 9_223_372_036_855,
      total_cost_cents_decimal: '9223372036854.775807',
      cost_today_cents_decimal: '9223372036854.775807',
    });
    const [stored] = await app.database.query(
      'SELECT sum(cost_micro_cents)::text AS cost FROM usage_events WHERE api_key_id = $1',
      [rich.id],
    );
    expect(stored).toEqual({ cost: '11000000000000250000' });
  });

  it('names every broken rule of an event at once', async () => {
    const key = await app.apiKey();
    const broken = { method: '\ud800', request_tokens: -1, cost_cents: 'x', occurred_at: 'bad', zz: 1 };
    const { status, body } = await reporter.post('/usage', usageEvent(key, broken));
    expect(status).toBe(422);
    const fields = (body['errors'] as { field: string }[]).map(({ field }) => field);
    expect(fields.toSorted()).toEqual(['cost_cents', 'method', 'occurred_at', 'request_tokens', 'zz']);
  });

  it('is counted by what became of its events', async () => {
    const key = await app.apiKey();
    const countOf = async (status: string) => {
      const { text } = await app.anonymous.get('//metrics');
      return Number(new RegExp(`latchkey_usage_events_total\\{status="${status}"\\} (\\d+)`).exec(text)?.[1]);
    };
    const statuses = ['accepted', 'duplicate', 'invalid', 'unknown_key'];
    const before = await Promise.all(statuses.map(countOf));
    const event = usageEvent(key);
    await reporter.post('/usage', [
      event,
      event,
      { ...event, method: '' },
      { ...event, api_key_id: 999_999 },
    ]);
    const after = await Promise.all(statuses.map(countOf));
    expect(after.map((count, place) => count - before[place]!)).toEqual([1, 1, 1, 1]);
  });

  it('lets one bad event of a thousand harm only itself', async () => {
    const key = await app.apiKey();
    const events = Array.from({ length: 1_000 }, (_, index) =>
      usageEvent(key, index === 417 ? { cost_cents: '0.1234567' } : {}),
    );
    const answer = await reporter.post('/usage', events);
    expect(answer.body).toMatchObject({ accepted: 999, duplicates: 0 });
    expect(answer.body['rejected']).toEqual([
      { index: 417, errors: [{ field: 'cost_cents', message: expect.any(String) }] },
    ]);
    expect(await usageOf(key)).toMatchObject({ total_requests: 999 });
  });

  it('reports an event of a key that does not exist by its place', async () => {
    const key = await app.apiKey();
    const answer = await reporter.post('/usage', [usageEvent(key), usageEvent(key, { api_key_id: 999_999 })]);
    expect(answer.body).toMatchObject({
      accepted: 1,
      rejected: [{ index: 1, errors: [{ field: 'api_key_id' }] }],
    });
  });

  it('still records what was used before its key was deleted', async () => {
    const key = await app.apiKey();
    await app.admin.delete(`/api-keys/${key.id}`);
    expect((await reporter.post('/usage', usageEvent(key))).body).toMatchObject({ accepted: 1 });
  });

  it.each([
    ['cost_cents', -1],
    ['cost_cents', 'NaN'],
    ['cost_cents', 2 ** 53],
    ['cost_cents', '1e3'],
    ['cost_cents', '0.1234567'],
    ['cost_cents', 0.1234567],
    ['cost_cents', 1234567890.123456],
    ['cost_cents', null],
    ['request_tokens', -1],
    ['request_tokens', 1.5],
    ['response_tokens', 1_000_000_001],
    ['request_id', ''],
    ['request_id', 'x'.repeat(201)],
    ['request_id', 'a\0b'],
    ['endpoint', ''],
    ['method', 7],
    ['model', ''],
    ['status_code', 99],
    ['status_code', 600],
    ['response_time_ms', -1],
    ['occurred_at', 'yesterday'],
    ['occurred_at', new Date(Date.now() - 31 * 86_400_000).toISOString()],
    ['occurred_at', new Date(Date.now() + 10 * 60_000).toISOString()],
    ['hold_id', 'not-a-uuid'],
    ['user_id', 1],
  ])('refuses a single event whose %s is %j, naming the field', async (field, value) => {
    const key = await app.apiKey();
    const answer = await reporter.post('/usage', usageEvent(key, { [field]: value }));
    expect(answer.status).toBe(422);
    expect(answer.body['errors']).toContainEqual({ field, message: expect.any(String) });
    expect(await usageOf(key)).toMatchObject({ total_requests: 0 });
  });

  it('refuses a number too large for any float', async () => {
    const key = await app.apiKey();
    const rawBody = JSON.stringify(usageEvent(key)).replace('"0.25"', '1e400');
    expect((await reporter.send('POST', '/usage', { rawBody })).status).toBe(422);
  });

  it.each([
    ['0.000001', '0.000001'],
    [0.000001, '0.000001'],
    ['1000000000000', '1000000000000.000000'],
    ['999999999999.999999', '999999999999.999999'],
    [12.5, '12.500000'],
  ])('keeps an amount of %j cents exactly', async (cost, decimal) => {
    const key = await app.apiKey();
    expect((await reporter.post('/usage', usageEvent(key, { cost_cents: cost }))).body).toMatchObject({
      accepted: 1,
    });
    expect(await usageOf(key)).toMatchObject({ total_cost_cents_decimal: decimal });
  });

  it('loses nothing of very many small amounts', async () => {
    const key = await app.apiKey();
    const events = Array.from({ length: 1_000 }, () => usageEvent(key, { cost_cents: '0.000003' }));
    await reporter.post('/usage', events);
    expect(await usageOf(key)).toMatchObject({ total_cost_cents_decimal: '0.003000' });
  });

  it('puts a late event into its own hour', async () => {
    const key = await app.apiKey();
    const occurred_at = new Date(Date.now() - 10 * 86_400_000).toISOString();
    await reporter.post('/usage', usageEvent(key, { occurred_at }));
    const [row] = await app.database.query<{ hour: Date }>(
      'SELECT hour FROM usage_hourly_rollups WHERE api_key_id = $1',
      [key.id],
    );
    expect(row?.hour.toISOString()).toBe(`${occurred_at.slice(0, 13)}:00:00.000Z`);
    expect(await usageOf(key)).toMatchObject({ total_requests: 1, requests_today: 0 });
  });

  it('takes no more than a thousand events and a megabyte', async () => {
    const key = await app.apiKey();
    const many = Array.from({ length: 1_001 }, () => usageEvent(key));
    expect((await reporter.post('/usage', many)).status).toBe(422);
    expect((await reporter.post('/usage', usageEvent(key, { endpoint: 'x'.repeat(1_100_000) }))).status).toBe(
      413,
    );
  });

  it('answers an empty list', async () => {
    expect((await reporter.post('/usage', [])).body).toEqual({
      accepted: 0,
      duplicates: 0,
      conflicts: [],
      rejected: [],
    });
  });

  it('needs the permission to report, also of the owner of the key', async () => {
    const owner = await app.user();
    const key = await app.apiKeyOf(owner);
    expect((await app.anonymous.post('/usage', usageEvent(key))).status).toBe(401);
    expect((await owner.client.post('/usage', usageEvent(key))).status).toBe(403);
    const service = await app.apiKey(app.admin, { scopes: ['platform:usage:write'] });
    expect((await app.anonymous.withApiKey(service.secret).post('/usage', usageEvent(key))).status).toBe(200);
  });

  it('charges the budget of the key, beyond its limit too: the money is gone', async () => {
    const key = await app.apiKey(app.admin, { is_unlimited: false, budget_limit_cents: 10 });
    await reporter.post('/usage', [
      usageEvent(key, { cost_cents: 7 }),
      usageEvent(key, { cost_cents: '5.5' }),
    ]);
    const [account] = await app.database.query(
      'SELECT spent_micro_cents FROM budget_accounts WHERE api_key_id = $1',
      [key.id],
    );
    expect(account).toEqual({ spent_micro_cents: '12500000' });
  });
});
