import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { ownerOfKeys } from '../support/api-keys.js';
import { expectOneAuditRow } from '../support/audit-trail.js';
import { expectInvalid, expectProblem } from '../support/problems.js';
import { type TestApiKey, TestApp } from '../support/test-app.js';
import { usageEvent } from '../support/usage-events.js';
import { writeRollup } from '../support/usage-rows.js';

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;

interface Bucket {
  readonly start: string;
  readonly requests: number;
  readonly cost_cents_decimal: string;
}

describe('GET /api-keys/{id}/usage/series', () => {
  let app: TestApp;
  let key: TestApiKey;
  beforeAll(async () => {
    app = await TestApp.start();
  });
  beforeEach(async () => {
    key = await app.apiKey();
  });
  afterAll(() => app.stop());

  const ask = (query: Record<string, string>, client = app.admin) =>
    client.get(`/api-keys/${key.id}/usage/series?${new URLSearchParams(query).toString()}`);
  const seriesOf = async (query: Record<string, string>) => {
    const answer = await ask(query);
    expect(answer.status).toBe(200);
    return answer.body['series'] as { model: string | null; buckets: Bucket[] }[];
  };
  const bucketsOf = async (query: Record<string, string>): Promise<Bucket[]> =>
    (await seriesOf(query))[0]?.buckets ?? [];
  const used = (buckets: readonly Bucket[]) =>
    buckets.filter(({ requests }) => requests > 0).map(({ start, requests }) => [start, requests]);
  const rollUp = (hour: string, requests: number, model = '', costMicroCents = 0n) =>
    writeRollup(app.database, key.id, {
      hour: new Date(hour),
      requests,
      model,
      requestTokens: requests * 10,
      responseTokens: requests,
      costMicroCents,
    });

  it('answers what was used hour by hour, hours without use included, and leaves one audit row', async () => {
    await rollUp('2026-03-01T10:00:00Z', 2, 'a', 400_000n);
    await rollUp('2026-03-01T10:00:00Z', 1, 'b', 400_000n);
    await rollUp('2026-03-01T12:00:00Z', 4, '', 1n);
    const [from, to] = ['2026-03-01T09:00:00.000Z', '2026-03-01T13:00:00.000Z'];
    const answer = await ask({ interval: 'hour', from, to });
    const counts = (requests: number) => ({
      requests,
      requests_decimal: String(requests),
      request_tokens: requests * 10,
      request_tokens_decimal: String(requests * 10),
      response_tokens: requests,
      response_tokens_decimal: String(requests),
      tokens: requests * 11,
      tokens_decimal: String(requests * 11),
    });
    const none = { ...counts(0), cost_cents: 0 };
    expect(answer.body).toEqual({
      api_key_id: key.id,
      interval: 'hour',
      group_by: null,
      from,
      to,
      series: [
        {
          model: null,
          buckets: [
            { start: from, ...none, cost_cents_decimal: '0.000000' },
            {
              start: '2026-03-01T10:00:00.000Z',
              ...counts(3),
              cost_cents: 1,
              cost_cents_decimal: '0.800000',
            },
            { start: '2026-03-01T11:00:00.000Z', ...none, cost_cents_decimal: '0.000000' },
            {
              start: '2026-03-01T12:00:00.000Z',
              ...counts(4),
              cost_cents: 0,
              cost_cents_decimal: '0.000001',
            },
          ],
        },
      ],
    });
    await expectOneAuditRow(app.database, answer, {
      action: 'get_api_key_usage_series',
      resource_type: 'api_key',
      resource_id: String(key.id),
      details: { interval: 'hour', from, to, group_by: null },
    });
  });

  it.each([
    ['hour', '2026-03-01T10:00:00Z', '2026-03-01T11:00:00Z', '2026-03-01T09:00:00Z'],
    ['day', '2026-03-29T00:00:00Z', '2026-03-30T00:00:00Z', '2026-03-28T23:00:00Z'],
    ['month', '2028-02-01T00:00:00Z', '2028-03-01T00:00:00Z', '2028-01-31T23:00:00Z'],
  ])('puts the first hour of a %s into it, and the one before not', async (interval, start, next, before) => {
    await rollUp(start, 1);
    await rollUp(new Date(Date.parse(next) - HOUR_MS).toISOString(), interval === 'hour' ? 0 : 2, 'other');
    await rollUp(next, 4);
    await rollUp(before, 8);
    const count = interval === 'hour' ? 1 : 3;
    expect(used(await bucketsOf({ interval, from: start, to: next }))).toEqual([
      [new Date(start).toISOString(), count],
    ]);
    const wider = await bucketsOf({
      interval,
      from: before,
      to: new Date(Date.parse(next) + 1).toISOString(),
    });
    expect(wider.map(({ requests }) => requests)).toEqual([8, count, 4]);
  });

  it('counts of a day that is cut only the hours that were asked for', async () => {
    for (const hour of ['09', '10', '15', '16']) await rollUp(`2026-03-01T${hour}:00:00Z`, 1, hour);
    const buckets = await bucketsOf({
      interval: 'day',
      from: '2026-03-01T10:00:00Z',
      to: '2026-03-01T16:00:00Z',
    });
    expect(used(buckets)).toEqual([['2026-03-01T00:00:00.000Z', 2]]);
  });

  it('widens a span to whole hours, and says so', async () => {
    await rollUp('2026-03-01T10:00:00Z', 1);
    const span = { from: '2026-03-01T10:30:00Z', to: '2026-03-01T10:31:00+00:00' };
    expect((await ask({ interval: 'hour', ...span })).body).toMatchObject({
      from: '2026-03-01T10:00:00.000Z',
      to: '2026-03-01T11:00:00.000Z',
      series: [{ buckets: [{ requests: 1 }] }],
    });
  });

  it('knows months of every length, and years', async () => {
    const buckets = await bucketsOf({
      interval: 'month',
      from: '2027-11-15T00:00:00Z',
      to: '2028-03-01T00:00:00.001Z',
    });
    expect(buckets.map(({ start }) => start.slice(0, 10))).toEqual([
      '2027-11-01',
      '2027-12-01',
      '2028-01-01',
      '2028-02-01',
      '2028-03-01',
    ]);
    const ancient = await bucketsOf({
      interval: 'month',
      from: '0099-12-01T00:00:00Z',
      to: '0100-02-01T00:00:00Z',
    });
    expect(ancient.map(({ start }) => start.slice(0, 10))).toEqual(['0099-12-01', '0100-01-01']);
  });

  it.each([
    ['hour', 24, HOUR_MS],
    ['day', 30, DAY_MS],
  ])('shows by %s the last %d by default, up to now', async (interval, count, length) => {
    const now = app.clock.now().getTime();
    const buckets = await bucketsOf({ interval });
    expect(buckets).toHaveLength(count);
    expect(Date.parse(buckets.at(-1)!.start)).toBe(now - (now % length));
    expect(Date.parse(buckets[0]!.start)).toBe(now - (now % length) - (count - 1) * length);
  });

  it('shows by month the last twelve by default', async () => {
    const now = app.clock.now();
    const buckets = await bucketsOf({ interval: 'month' });
    expect(buckets).toHaveLength(12);
    expect(buckets.at(-1)!.start).toBe(
      new Date(Date.UTC(now.getUTCFullYear(), now.getUTCMonth(), 1)).toISOString(),
    );
  });

  it('begins a new bucket at the full hour, not a moment sooner', async () => {
    const now = app.clock.now().getTime();
    app.clock.advanceSeconds((DAY_MS - (now % DAY_MS) - 30_000) / 1_000);
    const last = async (interval: string) => (await bucketsOf({ interval })).at(-1)!.start;
    const [hour, day] = [await last('hour'), await last('day')];
    app.clock.advanceSeconds(30);
    const [nextHour, nextDay] = [await last('hour'), await last('day')];
    expect(Date.parse(nextHour) - Date.parse(hour)).toBe(HOUR_MS);
    expect(Date.parse(nextDay) - Date.parse(day)).toBe(DAY_MS);
    expect(nextHour).toBe(nextDay);
  });

  it('makes one series of each model, of usage without one too, each without a gap', async () => {
    await rollUp('2026-03-01T10:00:00Z', 1, 'b');
    await rollUp('2026-03-01T11:00:00Z', 2, 'a');
    await rollUp('2026-03-01T12:00:00Z', 4);
    const span = { from: '2026-03-01T10:00:00Z', to: '2026-03-01T13:00:00Z' };
    const series = await seriesOf({ interval: 'hour', group_by: 'model', ...span });
    expect(series.map(({ model, buckets }) => [model, buckets.map(({ requests }) => requests)])).toEqual([
      [null, [0, 0, 4]],
      ['a', [0, 2, 0]],
      ['b', [1, 0, 0]],
    ]);
    const empty = { from: '2025-03-01T10:00:00Z', to: '2025-03-01T13:00:00Z' };
    expect(await seriesOf({ interval: 'hour', group_by: 'model', ...empty })).toEqual([]);
    expect((await seriesOf({ interval: 'hour', ...empty }))[0]!.buckets).toHaveLength(3);
  });

  it('shows a late event in the hour in which it occurred', async () => {
    const occurredAt = new Date(app.clock.now().getTime() - 29 * DAY_MS);
    const event = usageEvent(key.id, { occurred_at: occurredAt.toISOString() });
    expect((await app.admin.post('/usage', event)).body).toMatchObject({ accepted: 1 });
    const hour = new Date(occurredAt.getTime() - (occurredAt.getTime() % HOUR_MS)).toISOString();
    const from = new Date(occurredAt.getTime() - DAY_MS).toISOString();
    expect(used(await bucketsOf({ interval: 'hour', from }))).toEqual([[hour, 1]]);
  });

  it('shows nothing of other keys', async () => {
    const other = await app.apiKey();
    await rollUp('2026-03-01T10:00:00Z', 1);
    await writeRollup(app.database, other.id, { hour: new Date('2026-03-01T10:00:00Z'), requests: 2 });
    const span = { from: '2026-03-01T10:00:00Z', to: '2026-03-01T11:00:00Z' };
    expect(used(await bucketsOf({ interval: 'hour', ...span }))).toEqual([['2026-03-01T10:00:00.000Z', 1]]);
  });

  it('is for the owner and for who may read keys, and for nobody else', async () => {
    const { owner, key: theirs } = await ownerOfKeys(app, 1);
    const path = `/api-keys/${theirs.id}/usage/series`;
    const [stranger, reader] = [
      await app.user(),
      await app.user({ permissions: ['platform:api-keys:read'] }),
    ];
    expect((await owner.client.get(path)).status).toBe(200);
    expect((await reader.client.get(path)).status).toBe(200);
    expectProblem(await stranger.client.get(path), 'permission.denied');
    expect((await app.anonymous.get(path)).status).toBe(401);
    expectProblem(await app.anonymous.withApiKey(theirs.secret).get(path), 'permission.denied');
    expectProblem(await app.admin.get('/api-keys/999999/usage/series'), 'api_key.not_found');
  });

  it('makes at most ten thousand buckets', async () => {
    const to = Date.parse('2026-03-01T00:00:00Z');
    const span = (hours: number) => ({
      interval: 'hour',
      from: new Date(to - hours * HOUR_MS).toISOString(),
      to: new Date(to).toISOString(),
    });
    expect(await bucketsOf(span(10_000))).toHaveLength(10_000);
    const refusal = { field: 'from', message: expect.stringContaining('10000') };
    expectInvalid(await ask(span(10_001)), refusal);
    expectInvalid(
      await ask({ interval: 'hour', from: '0001-01-01T00:00:00Z', to: '9999-12-31T23:59:59Z' }),
      refusal,
    );
    for (const model of ['a', 'b', 'c']) await rollUp('2026-02-28T10:00:00Z', 1, model);
    expect(await seriesOf({ ...span(6_000), group_by: 'model' })).toHaveLength(3);
    expectInvalid(await ask({ ...span(10_000), group_by: 'model' }), {
      field: 'group_by',
      message: expect.stringContaining('20000'),
    });
  });

  it.each([
    [{ interval: 'week' }, 'interval'],
    [{ group_by: 'endpoint' }, 'group_by'],
    [{ from: 'yesterday' }, 'from'],
    [{ to: '2026-02-30T00:00:00Z' }, 'to'],
    [{ from: '2026-03-02T00:00:00Z', to: '2026-03-02T00:00:00Z' }, 'to'],
    [{ from: '2026-03-02T00:00:00Z', to: '2026-03-01T00:00:00Z' }, 'to'],
    [{ from: '2999-01-01T00:00:00Z' }, 'to'],
    [{ size: '1' }, 'size'],
  ])('refuses %j, naming %s', async (query: Record<string, string>, field) => {
    expectInvalid(await ask(query), { field, message: expect.any(String) });
  });

  it('reads rollups by the key and the hour, however many there are', async () => {
    await app.database.query(
      `INSERT INTO usage_hourly_rollups (api_key_id, hour, model, requests, request_tokens, response_tokens, cost_micro_cents)
       SELECT 1000000 + n % 500, timestamptz '2026-01-01Z' + n / 500 * interval '1 hour', '', 1, 1, 1, 1 FROM generate_series(0, 99999) AS n`,
    );
    await app.database.query('ANALYZE usage_hourly_rollups');
    const plan = await app.database.query<{ 'QUERY PLAN': string }>(
      `EXPLAIN SELECT date_trunc('day', hour, 'UTC'), sum(requests) FROM usage_hourly_rollups
       WHERE api_key_id = 1000001 AND hour >= '2026-01-02Z' AND hour < '2026-01-03Z' GROUP BY 1`,
    );
    const text = plan.map((line) => line['QUERY PLAN']).join('\n');
    expect(text).toMatch(/usage_hourly_rollups_pkey/);
    expect(text).not.toMatch(/Seq Scan/);
  });
});
