import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { ownerOfKeys } from '../support/api-keys.js';
import { expectOneAuditRow } from '../support/audit-trail.js';
import { TestApp, type TestApiKey } from '../support/test-app.js';
import { writeRollup, writeTotals } from '../support/usage-rows.js';

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;

describe('GET /api-keys/{id}/usage', () => {
  let app: TestApp;
  let key: TestApiKey;
  beforeAll(async () => {
    app = await TestApp.start();
  });
  beforeEach(async () => {
    key = await app.apiKey();
  });
  afterAll(() => app.stop());

  const usage = async (apiKeyId = key.id) => (await app.admin.get(`/api-keys/${apiKeyId}/usage`)).body;

  /** Moves the clock to the next moment that lies `offsetMs` after a UTC midnight. */
  const moveTo = (offsetMs: number): number => {
    const now = app.clock.now().getTime();
    const midnight = now - (now % DAY_MS) + DAY_MS;
    app.clock.advanceSeconds((midnight + offsetMs - now) / 1000);
    return midnight;
  };

  const rollUp = (hour: number, values: Omit<Parameters<typeof writeRollup>[2], 'hour'>, apiKeyId = key.id) =>
    writeRollup(app.database, apiKeyId, { ...values, hour: new Date(hour) });

  it('answers zeros for a key that was never used, under the names of the seed, and one audit row', async () => {
    const { owner, key: unused } = await ownerOfKeys(app, 1);
    const { id } = unused;
    const answer = await owner.client.get(`/api-keys/${id}/usage`);
    expect(answer.status).toBe(200);
    expect(answer.body).toStrictEqual({
      api_key_id: String(id),
      total_requests: 0,
      total_requests_decimal: '0',
      total_tokens: 0,
      total_tokens_decimal: '0',
      total_cost_cents: 0,
      total_cost_cents_decimal: '0.000000',
      requests_today: 0,
      requests_today_decimal: '0',
      tokens_today: 0,
      tokens_today_decimal: '0',
      cost_today_cents: 0,
      cost_today_cents_decimal: '0.000000',
      requests_this_hour: 0,
      requests_this_hour_decimal: '0',
      tokens_this_hour: 0,
      tokens_this_hour_decimal: '0',
      cost_this_hour_cents: 0,
      cost_this_hour_cents_decimal: '0.000000',
      last_used_at: null,
    });
    await expectOneAuditRow(app.database, answer, {
      action: 'get_api_key_usage',
      resource_type: 'api_key',
      resource_id: String(id),
      user_id: owner.id,
      details: {},
    });
  });

  it('sums this hour and today over all models, and nothing of other keys (fault 4 of the seed)', async () => {
    const midnight = moveTo(15 * HOUR_MS + 30 * 60_000);
    const other = await app.apiKey();
    await rollUp(midnight + 15 * HOUR_MS, {
      requests: 1,
      requestTokens: 10,
      responseTokens: 20,
      costMicroCents: 100n,
      model: 'a',
    });
    await rollUp(midnight + 15 * HOUR_MS, {
      requests: 2,
      requestTokens: 1,
      responseTokens: 2,
      costMicroCents: 10n,
      model: 'b',
    });
    await rollUp(midnight + 14 * HOUR_MS, {
      requests: 4,
      requestTokens: 100,
      responseTokens: 200,
      costMicroCents: 1_000n,
    });
    await rollUp(midnight, {
      requests: 8,
      requestTokens: 1_000,
      responseTokens: 2_000,
      costMicroCents: 10_000n,
    });
    await rollUp(midnight - HOUR_MS, {
      requests: 16,
      requestTokens: 10_000,
      responseTokens: 20_000,
      costMicroCents: 100_000n,
    });
    await rollUp(midnight + 15 * HOUR_MS, { requests: 32, costMicroCents: 5n }, other.id);
    expect(await usage()).toMatchObject({
      requests_this_hour: 3,
      tokens_this_hour: 33,
      cost_this_hour_cents_decimal: '0.000110',
      requests_today: 15,
      tokens_today: 3_333,
      cost_today_cents_decimal: '0.011110',
    });
    expect(await usage(other.id)).toMatchObject({ requests_this_hour: 32, requests_today: 32 });
  });

  it('begins a new hour at the full hour, and a new day at midnight UTC, not a moment sooner', async () => {
    const midnight = moveTo(23 * HOUR_MS + 59 * 60_000);
    await rollUp(midnight + 23 * HOUR_MS, { requests: 1 });
    await rollUp(midnight + 22 * HOUR_MS, { requests: 2 });
    const counts = async () => {
      const { requests_this_hour: hour, requests_today: day } = await usage();
      return { hour, day };
    };
    expect(await counts()).toEqual({ hour: 1, day: 3 });
    app.clock.advanceSeconds(30);
    expect(await counts()).toEqual({ hour: 1, day: 3 });
    app.clock.advanceSeconds(30);
    expect(await counts()).toEqual({ hour: 0, day: 0 });
    await rollUp(midnight + 24 * HOUR_MS, { requests: 4 });
    expect(await counts()).toEqual({ hour: 4, day: 4 });
    app.clock.advanceSeconds(3_600);
    expect(await counts()).toEqual({ hour: 0, day: 4 });
  });

  it('counts no hour that has not begun', async () => {
    const midnight = moveTo(HOUR_MS);
    await rollUp(midnight + 2 * HOUR_MS, { requests: 1 });
    await rollUp(midnight + DAY_MS, { requests: 1 });
    expect(await usage()).toMatchObject({ requests_this_hour: 0, requests_today: 0 });
  });

  it('shows the totals of a life, and when the key was last used, in UTC', async () => {
    await writeTotals(app.database, key.id, {
      requests: Number.MAX_SAFE_INTEGER,
      tokens: Number.MAX_SAFE_INTEGER - 1,
      costMicroCents: 1_234_567_890_123_499_999n,
      lastUsedAt: '2026-11-22T09:12:00+01:00',
    });
    expect(await usage()).toMatchObject({
      total_requests: 9_007_199_254_740_991,
      total_tokens: 9_007_199_254_740_990,
      total_cost_cents: 1_234_567_890_123,
      total_cost_cents_decimal: '1234567890123.499999',
      last_used_at: '2026-11-22T08:12:00.000Z',
    });
  });

  it('loses no fraction of a cent: a thousand calls of a third of a cent are 333 cents (fault 6 of the seed)', async () => {
    const midnight = moveTo(12 * HOUR_MS);
    for (let hour = 3; hour < 13; hour += 1) {
      await rollUp(midnight + hour * HOUR_MS, { requests: 100, costMicroCents: 100n * 333_333n });
    }
    expect(await usage()).toMatchObject({
      requests_today: 1_000,
      cost_today_cents: 333,
      cost_today_cents_decimal: '333.333000',
      cost_this_hour_cents: 33,
      cost_this_hour_cents_decimal: '33.333300',
    });
  });

  it.each([
    [499_999n, 0, '0.499999'],
    [500_000n, 1, '0.500000'],
    [1_499_999n, 1, '1.499999'],
    [1_500_000n, 2, '1.500000'],
    [9_007_199_254_740_993n, 9_007_199_255, '9007199254.740993'],
  ])('rounds %d micro-cents half up, and shows them exactly', async (microCents, cents, decimal) => {
    const midnight = moveTo(6 * HOUR_MS);
    await rollUp(midnight + 6 * HOUR_MS, { requests: 1, costMicroCents: microCents });
    expect(await usage()).toMatchObject({
      cost_today_cents: cents,
      cost_today_cents_decimal: decimal,
      cost_this_hour_cents: cents,
      cost_this_hour_cents_decimal: decimal,
    });
  });

  it('rounds a sum once, not each of its parts', async () => {
    const midnight = moveTo(6 * HOUR_MS);
    for (const model of ['a', 'b', 'c']) {
      await rollUp(midnight + 6 * HOUR_MS, { requests: 1, costMicroCents: 400_000n, model });
    }
    expect(await usage()).toMatchObject({ cost_today_cents: 1, cost_today_cents_decimal: '1.200000' });
  });
});
