import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Maintenance } from '../../src/jobs/maintenance.service.js';
import type { ApiClient } from '../support/api-client.js';
import { expectOneAuditRow } from '../support/audit-trail.js';
import { ownerOfKeys, UTC_TIMESTAMP } from '../support/api-keys.js';
import {
  askToHold,
  chainAccounts,
  endMonthOf,
  heldId,
  keyWithBudget,
  step,
  storedAccount,
} from '../support/budgets.js';
import { expectInvalid, expectProblem } from '../support/problems.js';
import { type TestApiKey, TestApp, type TestUser } from '../support/test-app.js';
import { usageEvent } from '../support/usage-events.js';

const OWN_BUDGET = 'An API key cannot take back what counts in its own budget.';

describe('POST /usage/{id}/reversal', () => {
  let app: TestApp;
  let service: TestUser;
  let operator: ApiClient;
  let operatorId: number;
  beforeAll(async () => {
    app = await TestApp.start();
    service = await app.user({ role: 'service' });
    const user = await app.user({ permissions: ['platform:budgets:update', 'platform:api-keys:read'] });
    [operator, operatorId] = [user.client, user.id];
  });
  afterAll(() => app.stop());

  const eventsOf = async (key: TestApiKey, requestId: string, client = operator) =>
    client.get(`/api-keys/${key.id}/usage/events?request_id=${encodeURIComponent(requestId)}`);

  /** Reports an event, and answers its id. */
  async function reported(key: TestApiKey, fields: Record<string, unknown> = {}): Promise<number> {
    const event = usageEvent(key.id, fields);
    const answer = await service.client.post('/usage', event);
    expect(answer.body).toMatchObject({ accepted: 1 });
    const { body } = await eventsOf(key, String(event['request_id']));
    return (body['usage_events'] as { id: number }[])[0]!.id;
  }

  const reverse = (id: number, client = operator) => client.post(`/usage/${id}/reversal`);
  const usageOf = async (key: TestApiKey) =>
    (await app.admin.get(`/api-keys/${key.id}/usage`)).body as Record<string, unknown>;

  it('takes an event back: out of totals, of its hour, of the summary and of the budget', async () => {
    const key = await keyWithBudget(app, 100);
    await reported(key, { cost_cents: 5, request_tokens: 1, response_tokens: 2 });
    const before = await usageOf(key);
    const series = async () => (await app.admin.get(`/api-keys/${key.id}/usage/series?group_by=model`)).body;
    const seriesBefore = await series();
    const wrong = { cost_cents: '70.000001', request_tokens: 1_000, response_tokens: 500 };
    const occurred_at = new Date(Date.now() - 3_000).toISOString();
    const id = await reported(key, { ...wrong, occurred_at, request_id: 'wrong', status_code: 200 });
    expect((await askToHold(service.client, key, 30)).body).toMatchObject({ reason: 'budget_exhausted' });
    const answer = await reverse(id);
    expect(answer.status).toBe(200);
    expect(answer.body).toEqual({
      id,
      api_key_id: key.id,
      request_id: 'wrong',
      reported_by_user_id: service.id,
      reported_by_api_key_id: null,
      endpoint: '/v1/chat/completions',
      method: 'POST',
      model: 'gpt-4o',
      request_tokens: 1_000,
      request_tokens_decimal: '1000',
      response_tokens: 500,
      response_tokens_decimal: '500',
      cost_cents: 70,
      cost_cents_decimal: '70.000001',
      status_code: 200,
      response_time_ms: null,
      hold_id: null,
      occurred_at,
      received_at: expect.stringMatching(UTC_TIMESTAMP),
      reversed_at: expect.stringMatching(UTC_TIMESTAMP),
      reversed_by_user_id: operatorId,
      reversed_by_api_key_id: null,
    });
    expect(await usageOf(key)).toEqual({ ...before, last_used_at: expect.any(String) });
    expect(await series()).toEqual(seriesBefore);
    expect(await storedAccount(app.database, key.id)).toMatchObject({ spent: 5_000_000n });
    const verdict = await service.client.post('/api-keys/verify', { key: key.secret });
    expect(verdict.body).toMatchObject({ code: 'VALID', budget: { spent_cents_decimal: '5.000000' } });
    expect((await askToHold(service.client, key, 95)).status).toBe(201);
    await expectOneAuditRow(app.database, answer, {
      action: 'reverse_usage_event',
      resource_type: 'usage_event',
      resource_id: String(id),
      user_id: operatorId,
      details: { api_key_id: key.id, request_id: 'wrong', cost_cents_decimal: '70.000001', occurred_at },
    });
  });

  it('counts once, however often and however concurrently it is asked for', async () => {
    const key = await keyWithBudget(app, 100);
    await reported(key, { cost_cents: 20 });
    const id = await reported(key, { cost_cents: 10 });
    const answers = await Promise.all(Array.from({ length: 10 }, () => reverse(id)));
    for (const { status, body } of answers) expect([status, body]).toEqual([200, answers[0]!.body]);
    expect(await usageOf(key)).toMatchObject({ total_requests: 1, total_cost_cents: 20 });
    expect((await storedAccount(app.database, key.id)).spent).toBe(20_000_000n);
    const [rows] = await app.database.query(
      `SELECT count(*)::int AS changes FROM audit_logs WHERE action = 'reverse_usage_event' AND resource_id = $1`,
      [String(id)],
    );
    expect(rows).toEqual({ changes: 1 });
  });

  it('leaves the event where it was, marked, and its request id taken', async () => {
    const key = await app.apiKey();
    const id = await reported(key, { request_id: 'stays' });
    const { body: before } = await eventsOf(key, 'stays');
    expect(before['usage_events']).toMatchObject([{ id, reversed_at: null, reversed_by_user_id: null }]);
    const { body: reversed } = await reverse(id);
    expect((await eventsOf(key, 'stays')).body).toEqual({ usage_events: [reversed] });
    const again = usageEvent(key.id, { request_id: 'stays' });
    expect((await service.client.post('/usage', again)).body).toMatchObject({ accepted: 0, duplicates: 1 });
    expect(await usageOf(key)).toMatchObject({ total_requests: 0 });
  });

  it('takes a settlement back from the budgets that it was charged to, and the hold stays settled', async () => {
    const [key, above] = [await keyWithBudget(app, 100), await keyWithBudget(app, 500)];
    await heldId(service.client, key, 1);
    await heldId(service.client, above, 1);
    await chainAccounts(app.database, key.id, above.id);
    const id = await heldId(service.client, key, 40);
    await step(service.client, id, 'settle', { cost_cents: 30 });
    const free = await reported(key, { cost_cents: 8 });
    const { body } = await eventsOf(key, `hold:${id}`);
    const [settlement] = body['usage_events'] as { id: number }[];
    for (const event of [settlement!.id, free]) expect((await reverse(event)).status).toBe(200);
    for (const account of [key, above])
      expect(await storedAccount(app.database, account.id)).toMatchObject({ spent: 0n, held: 1_000_000n });
    expect((await step(service.client, id, 'settle', { cost_cents: 30 })).body).toMatchObject({
      status: 'settled',
    });
    expect((await storedAccount(app.database, key.id)).spent).toBe(0n);
  });

  describe('with a monthly budget', () => {
    it('gives back to the month that was charged, and nothing to the one after it', async () => {
      const key = await keyWithBudget(app, 100, { budget_type: 'monthly' });
      const [early, hold] = [await reported(key, { cost_cents: 10 }), await heldId(service.client, key, 40)];
      await step(service.client, hold, 'settle', { cost_cents: 20 });
      // A month ago: the events too, or they would be of the month that now begins.
      await endMonthOf(app.database, key.id);
      await app.database.query(
        `UPDATE usage_events SET received_at = received_at - interval '32 days' WHERE api_key_id = $1`,
        [key.id],
      );
      const late = await reported(key, {
        cost_cents: 3,
        occurred_at: new Date(Date.now() - 86_400_000).toISOString(),
      });
      expect((await storedAccount(app.database, key.id)).spent).toBe(3_000_000n);
      const settlement = await app.database.query<{ id: string }>(
        'SELECT id FROM usage_events WHERE hold_id = $1',
        [hold],
      );
      for (const id of [early, Number(settlement[0]!.id)]) expect((await reverse(id)).status).toBe(200);
      expect((await storedAccount(app.database, key.id)).spent).toBe(3_000_000n);
      expect(await usageOf(key)).toMatchObject({ total_requests: 1, total_cost_cents: 3 });
      await reverse(late);
      expect((await storedAccount(app.database, key.id)).spent).toBe(0n);
    });

    it('knows what was spent before the budget became monthly, or total', async () => {
      const key = await keyWithBudget(app, 100);
      const old = await reported(key, { cost_cents: 10 });
      await app.database.query(
        `UPDATE usage_events SET received_at = received_at - interval '70 days' WHERE id = $1`,
        [old],
      );
      await app.admin.put(`/api-keys/${key.id}`, { budget_type: 'monthly' });
      const recent = await reported(key, { cost_cents: 5 });
      await reverse(old);
      expect((await storedAccount(app.database, key.id)).spent).toBe(5_000_000n);
      await endMonthOf(app.database, key.id);
      const newest = await reported(key, { cost_cents: 2 });
      await app.database.query(
        `UPDATE usage_events SET received_at = received_at - interval '32 days' WHERE id = $1`,
        [recent],
      );
      await app.admin.put(`/api-keys/${key.id}`, { budget_type: 'total' });
      await reverse(recent);
      expect((await storedAccount(app.database, key.id)).spent).toBe(2_000_000n);
      await reverse(newest);
      expect((await storedAccount(app.database, key.id)).spent).toBe(0n);
    });
  });

  it('works for a key that was deleted, and for an event whose request id is forgotten', async () => {
    const key = await app.apiKey();
    const id = await reported(key, { request_id: 'gone' });
    await app.admin.delete(`/api-keys/${key.id}`);
    expect((await eventsOf(key, 'gone')).body['usage_events']).toMatchObject([{ id }]);
    const forget = () => app.app.get(Maintenance).runNow('expire-usage-request-ids');
    await app.database.query(`UPDATE usage_request_generations SET began_at = now() - interval '32 days'`);
    await forget();
    await app.database.query(
      `UPDATE usage_request_generations SET ended_at = now() - interval '32 days' WHERE ended_at IS NOT NULL`,
    );
    await forget();
    expect((await eventsOf(key, 'gone')).body).toEqual({ usage_events: [] });
    expect((await reverse(id)).body).toMatchObject({ id, reversed_by_user_id: operatorId });
  });

  it('knows no event that never was, and takes no body', async () => {
    expectProblem(await reverse(999_999_999), 'usage_event.not_found');
    expectInvalid(await operator.post('/usage/none/reversal'), { field: 'id', message: expect.any(String) });
    const id = await reported(await app.apiKey());
    expect((await operator.post(`/usage/${id}/reversal`, { cost_cents: 1 })).status).toBe(422);
  });

  it('needs platform:budgets:update: who reported the event may not take it back', async () => {
    const key = await app.apiKey();
    const id = await reported(key);
    expectProblem(await reverse(id, service.client), 'permission.denied');
    expect(await usageOf(key)).toMatchObject({ total_requests: 1 });
  });

  it('gives no key back what its own budget, or one that it shares, was charged with', async () => {
    const scopes = ['platform:budgets:update', 'platform:usage:write', 'platform:api-keys:create'];
    const parent = await keyWithBudget(app, 100, { scopes });
    const child = await app.apiKey(app.anonymous.withApiKey(parent.secret), { scopes });
    const [stranger, unlimited] = [await keyWithBudget(app, 100), await app.apiKey(app.admin, { scopes })];
    for (const caller of [parent, child]) {
      const client = app.anonymous.withApiKey(caller.secret);
      for (const key of [parent, child]) {
        const id = await reported(key, { cost_cents: 10 });
        const hold = await heldId(service.client, key, 10);
        const before = await storedAccount(app.database, key.id);
        for (const answer of [await reverse(id, client), await step(client, hold, 'release')])
          expectProblem(answer, 'permission.denied', OWN_BUDGET);
        expect(await storedAccount(app.database, key.id)).toEqual(before);
        const own = await heldId(client, key, 1);
        expect((await step(client, own, 'release')).body).toMatchObject({ status: 'released' });
      }
      const other = await heldId(service.client, stranger, 10);
      expect((await step(client, other, 'release')).body).toMatchObject({ status: 'released' });
      expect((await reverse(await reported(stranger), client)).status).toBe(200);
    }
    const byUnlimited = app.anonymous.withApiKey(unlimited.secret);
    expect((await reverse(await reported(unlimited), byUnlimited)).status).toBe(200);
    expect((await reverse(await reported(child), byUnlimited)).status).toBe(200);
  });

  it('shows events to the owner of the key and to who may read keys, one for each reporter', async () => {
    const { owner, key } = await ownerOfKeys(app, 1);
    const event = usageEvent(key.id, { request_id: 'a b/ü' });
    await service.client.post('/usage', event);
    await app.admin.post('/usage', event);
    const answer = await eventsOf(key, 'a b/ü', owner.client);
    const events = answer.body['usage_events'] as { reported_by_user_id: number }[];
    expect(events.map((each) => each.reported_by_user_id)).toEqual([service.id, expect.any(Number)]);
    expect((await eventsOf(key, 'a b/ü')).body).toEqual(answer.body);
    expect((await eventsOf(key, 'other', owner.client)).body).toEqual({ usage_events: [] });
    expectProblem(await eventsOf(key, 'a b/ü', (await app.user()).client), 'permission.denied');
    await expectOneAuditRow(app.database, answer, {
      action: 'get_usage_events',
      resource_type: 'api_key',
      resource_id: String(key.id),
      details: { request_id: 'a b/ü' },
    });
  });
});
