import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { ApiClient } from '../support/api-client.js';
import { UTC_TIMESTAMP } from '../support/api-keys.js';
import {
  askToHold,
  endMonthOf,
  endTimeOf,
  heldId,
  keyWithBudget,
  step,
  storedAccount,
} from '../support/budgets.js';
import { expectInvalid, expectProblem } from '../support/problems.js';
import { TestApp } from '../support/test-app.js';

const UUID_V7 = /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;

/** A budget as every route shows it; amounts in whole cents. */
function budget(limit: number, spent: number, held: number): Record<string, unknown> {
  return {
    limit_cents: limit,
    spent_cents_decimal: `${spent}.000000`,
    held_cents_decimal: `${held}.000000`,
    remaining_cents_decimal: `${Math.max(0, limit - spent - held)}.000000`,
    period_start: null,
    period_end: null,
  };
}

describe('budget holds', () => {
  let app: TestApp;
  let service: ApiClient;
  beforeAll(async () => {
    app = await TestApp.start();
    service = (await app.user({ role: 'service' })).client;
  });
  afterAll(() => app.stop());

  describe('POST /budget-holds', () => {
    it('sets an amount aside and tells what the budget then stands at', async () => {
      const key = await keyWithBudget(app, 100);
      const before = Date.now();
      const answer = await askToHold(service, key, 40, { ttl_seconds: 600 });
      expect(answer.status).toBe(201);
      expect(answer.body).toEqual({
        id: expect.stringMatching(UUID_V7),
        api_key_id: key.id,
        status: 'held',
        amount_cents_decimal: '40.000000',
        expires_at: expect.stringMatching(UTC_TIMESTAMP),
        budget: budget(100, 0, 40),
      });
      const lastsMs = Date.parse(answer.body['expires_at']) - before;
      expect(lastsMs).toBeGreaterThan(595_000);
      expect(lastsMs).toBeLessThan(610_000);
    });

    it('takes the key by its secret as well', async () => {
      const key = await keyWithBudget(app, 100);
      const body = { key: key.secret, amount_cents: '0.000001', ttl_seconds: 1 };
      const answer = await service.post('/budget-holds', body);
      expect(answer.status).toBe(201);
      expect(answer.body).toMatchObject({ api_key_id: key.id, amount_cents_decimal: '0.000001' });
    });

    it('grants any amount to an unlimited key, with no budget to show', async () => {
      const key = await app.apiKey();
      const answer = await askToHold(service, key, 1_000_000_000_000);
      expect(answer.status).toBe(201);
      expect(answer.body).toMatchObject({ status: 'held', budget: null });
    });

    it('answers the same hold to the same request id of the same key, whatever became of it', async () => {
      const [key, other] = [await keyWithBudget(app, 100), await keyWithBudget(app, 100)];
      const first = await askToHold(service, key, 60, { request_id: 'once' });
      const again = await Promise.all(
        Array.from({ length: 20 }, () => askToHold(service, key, 60, { request_id: 'once' })),
      );
      for (const { status, body } of again) expect([status, body]).toEqual([201, first.body]);
      const elsewhere = await askToHold(service, other, 60, { request_id: 'once' });
      expect(elsewhere.body['id']).not.toBe(first.body['id']);
      await step(service, first.body['id'], 'release');
      const last = await askToHold(service, key, 60, { request_id: 'once' });
      expect(last.body).toMatchObject({
        id: first.body['id'],
        status: 'released',
        budget: budget(100, 0, 0),
      });
    });

    it('grants exactly what is left, and not a micro-cent more', async () => {
      const key = await keyWithBudget(app, 1);
      await heldId(service, key, '0.999999');
      expect((await askToHold(service, key, '0.000002')).status).toBe(402);
      expect((await askToHold(service, key, '0.000001')).body).toMatchObject({ budget: budget(1, 0, 1) });
    });

    it('refuses by the first reason that there is, and shows the budget', async () => {
      const key = await keyWithBudget(app, 100);
      await step(service, await heldId(service, key, 30), 'settle', { cost_cents: 30 });
      await heldId(service, key, 50, { ttl_seconds: 500 });
      await heldId(service, key, 5, { ttl_seconds: 40 });
      const refusals = await Promise.all(
        [101, 71, 70, 15.000001].map((amount) => askToHold(service, key, amount)),
      );
      for (const refusal of refusals) {
        expectProblem(refusal, 'budget.refused');
        expect(refusal.body['budget']).toEqual(budget(100, 30, 55));
      }
      expect(refusals.map(({ body }) => body['reason'])).toEqual([
        'amount_exceeds_limit',
        'budget_exhausted',
        'held',
        'held',
      ]);
      expect(refusals.map(({ headers }) => headers.has('retry-after'))).toEqual([false, false, true, true]);
      const seconds = Number(refusals[2]?.headers.get('retry-after'));
      expect(seconds).toBeGreaterThanOrEqual(35);
      expect(seconds).toBeLessThanOrEqual(40);
      expect((await askToHold(service, key, 15)).status).toBe(201);
    });

    it('refuses everything under a limit of 0', async () => {
      const key = await keyWithBudget(app, 0);
      expect((await askToHold(service, key, '0.000001')).body['reason']).toBe('amount_exceeds_limit');
    });

    it('gives back what expired holds held before it refuses', async () => {
      const key = await keyWithBudget(app, 100);
      const ids = await Promise.all([40, 60].map((amount) => heldId(service, key, amount)));
      expect((await askToHold(service, key, 50)).body['reason']).toBe('held');
      for (const id of ids) await endTimeOf(app.database, id);
      const answer = await askToHold(service, key, 100);
      expect([answer.status, answer.body['budget']]).toEqual([201, budget(100, 0, 100)]);
    });

    it('knows no key that was deleted or never was', async () => {
      const key = await keyWithBudget(app, 100);
      await app.admin.delete(`/api-keys/${key.id}`);
      const never = { ...key, id: 999_999_999 };
      for (const gone of [key, never])
        expectProblem(await askToHold(service, gone, 1), 'api_key.not_found', 'API key not found');
      const unknown = { key: 'en_unknown', amount_cents: 1, ttl_seconds: 1 };
      expectProblem(await service.post('/budget-holds', unknown), 'api_key.not_found', 'API key not found');
    });

    it('names every rule that a request breaks', async () => {
      expectInvalid(
        await service.post('/budget-holds', {
          amount_cents: 0,
          ttl_seconds: 86_401,
          request_id: '',
          more: 1,
        }),
        { field: 'api_key_id', message: 'is needed unless key is sent, and never both' },
        { field: 'amount_cents', message: expect.stringContaining('above 0') },
        { field: 'ttl_seconds', message: expect.anything() },
        { field: 'request_id', message: expect.anything() },
        { field: 'more', message: 'is not a known property' },
      );
      expectInvalid(
        await service.post('/budget-holds', { key: 'en_x', api_key_id: 1 }),
        { field: 'api_key_id', message: 'is needed unless key is sent, and never both' },
        { field: 'amount_cents', message: 'is required' },
        { field: 'ttl_seconds', message: 'is required' },
      );
      const key = await keyWithBudget(app, 100);
      const amounts = [
        -1,
        '-1',
        0,
        '0.000000',
        0.0000001,
        '1e2',
        1e21,
        '1.0000001',
        1_000_000_000_001,
        '',
        null,
        true,
      ];
      for (const amount of amounts) {
        expectInvalid(await askToHold(service, key, amount as number), {
          field: 'amount_cents',
          message: expect.stringContaining('above 0'),
        });
      }
      for (const ttl of [0, 1.5, '60', null, 86_401])
        expect((await askToHold(service, key, 1, { ttl_seconds: ttl })).status).toBe(422);
      expect((await askToHold(service, key, 1, { request_id: 'NUL \0' })).status).toBe(422);
      expect((await storedAccount(app.database, key.id)).held).toBe(0n);
    });
  });

  describe('POST /budget-holds/{id}/settle', () => {
    it('replaces the hold by the real cost, and records the event', async () => {
      const key = await keyWithBudget(app, 100);
      const id = await heldId(service, key, 40);
      const event = {
        cost_cents: '7.250000',
        model: 'gpt-4o',
        request_tokens: 5,
        response_tokens: 6,
        endpoint: '/v1/x',
      };
      const answer = await step(service, id, 'settle', event);
      expect(answer.status).toBe(200);
      expect(answer.body).toMatchObject({
        id,
        api_key_id: key.id,
        status: 'settled',
        amount_cents_decimal: '40.000000',
        budget: {
          spent_cents_decimal: '7.250000',
          held_cents_decimal: '0.000000',
          remaining_cents_decimal: '92.750000',
        },
      });
      const { body: usage } = await app.admin.get(`/api-keys/${key.id}/usage`);
      expect(usage).toMatchObject({
        total_requests: 1,
        total_tokens: 11,
        total_cost_cents_decimal: '7.250000',
      });
      const stored = await app.database.query(
        `SELECT request_id, model, endpoint, method, hold_id, cost_micro_cents::text AS cost FROM usage_events
         WHERE api_key_id = $1`,
        [key.id],
      );
      expect(stored).toEqual([
        {
          request_id: `hold:${id}`,
          model: 'gpt-4o',
          endpoint: '/v1/x',
          method: '',
          hold_id: id,
          cost: '7250000',
        },
      ]);
    });

    it('needs the cost alone', async () => {
      const key = await keyWithBudget(app, 100);
      const answer = await step(service, await heldId(service, key, 40), 'settle', { cost_cents: 0 });
      expect(answer.body).toMatchObject({ status: 'settled', budget: budget(100, 0, 0) });
    });

    it('answers the same again to the same cost, under whichever request id', async () => {
      const key = await keyWithBudget(app, 100);
      const id = await heldId(service, key, 40);
      const answers = await Promise.all(
        Array.from({ length: 20 }, (_, index) =>
          step(service, id, 'settle', {
            cost_cents: 10,
            ...(index % 2 === 0 ? {} : { request_id: `r${index}` }),
          }),
        ),
      );
      for (const { status, body } of answers)
        expect([status, body]).toEqual([
          200,
          expect.objectContaining({ id, status: 'settled', budget: budget(100, 10, 0) }),
        ]);
      expect((await app.admin.get(`/api-keys/${key.id}/usage`)).body['total_requests']).toBe(1);
    });

    it('refuses another cost, and a hold that was released', async () => {
      const key = await keyWithBudget(app, 100);
      const [settled, released] = [await heldId(service, key, 40), await heldId(service, key, 40)];
      await step(service, settled, 'settle', { cost_cents: 10 });
      await step(service, released, 'release');
      expectProblem(
        await step(service, settled, 'settle', { cost_cents: '10.000001' }),
        'budget_hold.conflict',
      );
      expectProblem(await step(service, released, 'settle', { cost_cents: 10 }), 'budget_hold.conflict');
      expect(await storedAccount(app.database, key.id)).toMatchObject({ spent: 10_000_000n, held: 0n });
    });

    it('refuses a request id that another event of the key has, and keeps the hold', async () => {
      const key = await keyWithBudget(app, 100);
      const id = await heldId(service, key, 40);
      const report = { api_key_id: key.id, request_id: 'taken', endpoint: '/', method: 'GET' };
      await service.post('/usage', { ...report, request_tokens: 0, response_tokens: 0, cost_cents: 1 });
      const answer = await step(service, id, 'settle', { cost_cents: 1, request_id: 'taken' });
      expectProblem(answer, 'budget_hold.conflict');
      expect((await step(service, id, 'settle', { cost_cents: 1 })).body).toMatchObject({
        budget: budget(100, 2, 0),
      });
    });

    it('records in full what went beyond the hold and beyond the limit; then all further is refused', async () => {
      const key = await keyWithBudget(app, 100);
      const answer = await step(service, await heldId(service, key, 40), 'settle', { cost_cents: 250 });
      expect(answer.body).toMatchObject({ status: 'settled', budget: budget(100, 250, 0) });
      expect((await askToHold(service, key, '0.000001')).body).toMatchObject({ reason: 'budget_exhausted' });
    });

    it('records the real cost of a hold that has expired, swept or not', async () => {
      const key = await keyWithBudget(app, 100);
      const [swept, unswept] = [await heldId(service, key, 40), await heldId(service, key, 40)];
      await endTimeOf(app.database, swept);
      await app.database.query('SELECT sweep_lapsed_holds(100)');
      expect((await storedAccount(app.database, key.id)).held).toBe(40_000_000n);
      await endTimeOf(app.database, unswept);
      for (const id of [swept, unswept])
        expect((await step(service, id, 'settle', { cost_cents: 30 })).body).toMatchObject({
          status: 'settled',
        });
      expect(await storedAccount(app.database, key.id)).toMatchObject({ spent: 60_000_000n, held: 0n });
    });

    it('records one event under one request id, however the id of the hold is written', async () => {
      const key = await keyWithBudget(app, 10);
      const id = await heldId(app.admin, key, 5);
      expect((await step(app.admin, id.toUpperCase(), 'settle', { cost_cents: 1 })).status).toBe(200);
      const [event] = await app.database.query('SELECT request_id FROM usage_events WHERE hold_id = $1', [
        id,
      ]);
      expect(event).toEqual({ request_id: `hold:${id}` });
    });

    it('is done as well by a usage event that carries the hold', async () => {
      const key = await keyWithBudget(app, 100);
      const id = await heldId(service, key, 40);
      const report = { api_key_id: key.id, request_id: 'r', endpoint: '/', method: 'GET', hold_id: id };
      await service.post('/usage', { ...report, request_tokens: 0, response_tokens: 0, cost_cents: 25 });
      const again = await step(service, id, 'settle', { cost_cents: 25 });
      expect(again.body).toMatchObject({ status: 'settled', budget: budget(100, 25, 0) });
    });

    it('charges a hold to the period it was taken in', async () => {
      const key = await keyWithBudget(app, 100, { budget_type: 'monthly' });
      const [id, other] = [await heldId(service, key, 40), await heldId(service, key, 20)];
      await endMonthOf(app.database, key.id);
      const fresh = await askToHold(service, key, 100);
      expect(fresh.body).toMatchObject({
        status: 'held',
        budget: {
          held_cents_decimal: '100.000000',
          period_start: expect.stringMatching(/-01T00:00:00\.000Z$/),
        },
      });
      expect((await step(service, id, 'settle', { cost_cents: 40 })).body['status']).toBe('settled');
      expect((await step(service, other, 'release')).body['status']).toBe('released');
      expect(await storedAccount(app.database, key.id)).toMatchObject({ spent: 0n, held: 100_000_000n });
      expect((await app.admin.get(`/api-keys/${key.id}/usage`)).body['total_cost_cents']).toBe(40);
    });

    it('names every rule that an event breaks', async () => {
      const key = await keyWithBudget(app, 100);
      const [id, other] = [await heldId(service, key, 40), await heldId(service, key, 40)];
      expectInvalid(await step(service, id, 'settle', {}), { field: 'cost_cents', message: 'is required' });
      for (const cost of [-1, '1e2', null, 0.0000001, '1000000000001'])
        expect((await step(service, id, 'settle', { cost_cents: cost })).status).toBe(422);
      const broken = { cost_cents: 1, request_tokens: -1, occurred_at: 'yesterday', status_code: 1, more: 1 };
      expect((await step(service, id, 'settle', broken)).status).toBe(422);
      for (const wrong of [
        { api_key_id: key.id + 1 },
        { hold_id: other },
        { request_id: '\0' },
        { endpoint: '' },
      ])
        expect((await step(service, id, 'settle', { cost_cents: 1, ...wrong })).status).toBe(422);
      for (const body of [[], 'text', 1]) expect((await step(service, id, 'settle', body)).status).toBe(422);
      const whole = { cost_cents: 1, api_key_id: key.id, hold_id: id };
      expect((await step(service, id, 'settle', whole)).status).toBe(200);
    });
  });

  describe('POST /budget-holds/{id}/release', () => {
    it('gives the hold back, as often as it is asked', async () => {
      const key = await keyWithBudget(app, 100);
      const id = await heldId(service, key, 40);
      const answers = await Promise.all(Array.from({ length: 10 }, () => step(service, id, 'release')));
      for (const { status, body } of answers)
        expect([status, body]).toEqual([
          200,
          expect.objectContaining({ id, status: 'released', budget: budget(100, 0, 0) }),
        ]);
    });

    it('leaves a hold that has expired as it is, and refuses one that is settled', async () => {
      const key = await keyWithBudget(app, 100);
      const [expired, settled] = [await heldId(service, key, 40), await heldId(service, key, 40)];
      await endTimeOf(app.database, expired);
      await step(service, settled, 'settle', { cost_cents: 1 });
      expect((await step(service, expired, 'release')).body).toMatchObject({
        status: 'expired',
        budget: budget(100, 1, 0),
      });
      expectProblem(await step(service, settled, 'release'), 'budget_hold.conflict');
    });
  });

  describe('POST /budget-holds/{id}/extend', () => {
    it('lets the hold live longer, and never shorter', async () => {
      const key = await keyWithBudget(app, 100);
      const id = await heldId(service, key, 40, { ttl_seconds: 60 });
      const longer = await step(service, id, 'extend', { ttl_seconds: 600 });
      expect(longer.body).toMatchObject({ id, status: 'held', budget: budget(100, 0, 40) });
      const lastsMs = Date.parse(longer.body['expires_at']) - Date.now();
      expect(lastsMs).toBeGreaterThan(590_000);
      expect(lastsMs).toBeLessThan(610_000);
      expect((await step(service, id, 'extend', { ttl_seconds: 1 })).body).toEqual(longer.body);
    });

    it('cannot bring back a hold that has ended', async () => {
      const key = await keyWithBudget(app, 100);
      const [expired, released, settled] = [
        await heldId(service, key, 10),
        await heldId(service, key, 10),
        await heldId(service, key, 10),
      ];
      await endTimeOf(app.database, expired);
      await step(service, released, 'release');
      await step(service, settled, 'settle', { cost_cents: 1 });
      for (const id of [expired, released, settled])
        expectProblem(await step(service, id, 'extend', { ttl_seconds: 60 }), 'budget_hold.conflict');
    });

    it('takes a whole number of seconds up to a day', async () => {
      const id = await heldId(service, await keyWithBudget(app, 100), 10);
      for (const ttl of [0, 86_401, 1.5, '60', null, undefined])
        expect((await step(service, id, 'extend', { ttl_seconds: ttl })).status).toBe(422);
    });
  });

  it('refuses what an account could not count, limit or not', async () => {
    const key = await app.apiKey();
    const statuses: number[] = [];
    for (let turn = 0; turn < 11; turn += 1)
      statuses.push((await askToHold(app.admin, key, '1000000000000')).status);
    expect(statuses.slice(0, 9)).toEqual(Array.from({ length: 9 }, () => 201));
    expect(statuses.slice(9)).toEqual([402, 402]);
  });

  it('knows no hold that never was', async () => {
    const id = '019ab1c2-6d9e-7c3a-b5f0-2f1d4a6b8c9d';
    expectProblem(await step(service, id, 'settle', { cost_cents: 1 }), 'budget_hold.not_found');
    expectProblem(await step(service, id, 'release'), 'budget_hold.not_found');
    expectProblem(await step(service, id, 'extend', { ttl_seconds: 1 }), 'budget_hold.not_found');
    expectInvalid(await step(service, '17', 'release'), { field: 'id', message: expect.anything() });
  });

  it('counts what a limit is lowered below, and refuses further', async () => {
    const key = await keyWithBudget(app, 100);
    const id = await heldId(service, key, 60);
    await app.admin.put(`/api-keys/${key.id}`, { budget_limit_cents: 50 });
    expect((await askToHold(service, key, 1)).body).toMatchObject({
      reason: 'held',
      budget: budget(50, 0, 60),
    });
    expect((await step(service, id, 'settle', { cost_cents: 60 })).body).toMatchObject({
      budget: budget(50, 60, 0),
    });
    expect((await askToHold(service, key, 1)).body['reason']).toBe('budget_exhausted');
  });

  it('are for callers who may write usage alone, and a refusal is a row of the audit log', async () => {
    const { client, id: userId } = await app.user({ permissions: ['platform:api-keys:verify'] });
    const key = await keyWithBudget(app, 100);
    const answer = await askToHold(client, key, 1);
    expectProblem(answer, 'permission.denied');
    const rows = await app.database.query(
      `SELECT action, resource_type, success, user_id::int FROM audit_logs WHERE request_id = $1`,
      [answer.headers.get('x-request-id')],
    );
    expect(rows).toEqual([
      { action: 'create_budget_hold', resource_type: 'budget_hold', success: false, user_id: userId },
    ]);
  });
});
