import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { ApiAnswer, ApiClient } from '../support/api-client.js';
import { askToHold, heldId, keyWithBudget, step, storedAccount } from '../support/budgets.js';
import { expectInvalid, expectProblem } from '../support/problems.js';
import { TestApp, type TestApiKey } from '../support/test-app.js';

describe('POST /api-keys/verify with a hold', () => {
  let app: TestApp;
  let service: ApiClient;
  beforeAll(async () => {
    app = await TestApp.start();
    service = (await app.user({ role: 'service' })).client;
  });
  afterAll(() => app.stop());

  /** Asks for a verdict that holds 10 cents; `fields` add to that. */
  function verify(key: TestApiKey, fields: Record<string, unknown> = {}): Promise<ApiAnswer> {
    const hold = { hold_cents: 10, hold_ttl_seconds: 60 };
    return service.post('/api-keys/verify', { key: key.secret, ...hold, ...fields });
  }

  async function holdsOf(key: TestApiKey): Promise<Record<string, number>> {
    const rows = await app.database.query<{ status: string; count: number }>(
      'SELECT status, count(*)::int AS count FROM budget_holds WHERE api_key_id = $1 GROUP BY status',
      [key.id],
    );
    return Object.fromEntries(rows.map(({ status, count }) => [status, count]));
  }

  it('holds with the verdict, and names the hold', async () => {
    const key = await keyWithBudget(app, 100, { rate_limit_per_minute: 5 });
    const { body } = await verify(key);
    expect(body).toMatchObject({
      valid: true,
      code: 'VALID',
      hold_id: expect.any(String),
      budget: { held_cents_decimal: '10.000000', remaining_cents_decimal: '90.000000' },
      rate_limits: [{ window: 'minute', remaining: 4 }],
    });
    const settled = await step(service, body['hold_id'], 'settle', { cost_cents: 3 });
    expect(settled.body).toMatchObject({ status: 'settled', amount_cents_decimal: '10.000000' });
  });

  it('holds nothing without being asked to', async () => {
    const key = await keyWithBudget(app, 100);
    const { body } = await service.post('/api-keys/verify', { key: key.secret });
    expect(body).toMatchObject({ code: 'VALID', budget: { held_cents_decimal: '0.000000' } });
    expect(body).not.toHaveProperty('hold_id');
    expect(await holdsOf(key)).toEqual({});
  });

  it('holds for an unlimited key as well, which has no budget to show', async () => {
    const key = await app.apiKey();
    expect((await verify(key)).body).toMatchObject({
      code: 'VALID',
      hold_id: expect.any(String),
      budget: null,
    });
  });

  it('is refused where the budget has no room, and spends nothing of the windows', async () => {
    const key = await keyWithBudget(app, 25, { rate_limit_per_minute: 5, rate_limit_per_day: 9 });
    await heldId(service, key, 16);
    for (const amount of [10, '9.000001', 26]) {
      const { body } = await verify(key, { hold_cents: amount });
      expect(body).toMatchObject({
        valid: false,
        code: 'BUDGET_EXCEEDED',
        budget: { held_cents_decimal: '16.000000' },
        rate_limits: [{ remaining: 5 }, { remaining: 9 }],
      });
      expect(body).not.toHaveProperty('hold_id');
    }
    expect((await verify(key, { hold_cents: 9 })).body['code']).toBe('VALID');
  });

  it('writes nothing when it is limited', async () => {
    const key = await keyWithBudget(app, 100, { rate_limit_per_minute: 3 });
    expect((await verify(key, { cost: 2 })).body['code']).toBe('VALID');
    const { body } = await verify(key, { cost: 2 });
    expect(body).toMatchObject({ code: 'RATE_LIMITED', rate_limits: [{ remaining: 1 }] });
    expect(body).not.toHaveProperty('hold_id');
    expect(await holdsOf(key)).toEqual({ held: 1 });
  });

  it('tells that the budget is used up before that the limit is reached', async () => {
    const key = await keyWithBudget(app, 15, { rate_limit_per_minute: 1 });
    expect((await verify(key)).body['code']).toBe('VALID');
    expect((await verify(key)).body['code']).toBe('BUDGET_EXCEEDED');
    expect((await verify(key, { hold_cents: 5 })).body['code']).toBe('RATE_LIMITED');
  });

  it('holds nothing for a key that is refused for another reason', async () => {
    const key = await keyWithBudget(app, 100, { allowed_models: ['gpt-4o'], rate_limit_per_minute: 5 });
    const { body } = await verify(key, { model: 'other' });
    expect(body).toMatchObject({ code: 'MODEL_NOT_ALLOWED', rate_limits: [{ remaining: 5 }] });
    expect(await holdsOf(key)).toEqual({});
  });

  it('admits together exactly what the budget has room for, and takes a window for each of them', async () => {
    const key = await keyWithBudget(app, 105, { rate_limit_per_minute: 30 });
    const answers = await Promise.all(Array.from({ length: 60 }, () => verify(key)));
    const valid = answers.filter(({ body }) => body['code'] === 'VALID');
    expect(valid).toHaveLength(10);
    expect(new Set(valid.map(({ body }) => body['hold_id'])).size).toBe(10);
    expect((await storedAccount(app.database, key.id)).held).toBe(100_000_000n);
    const look = await service.post('/api-keys/verify', { key: key.secret, cost: 0 });
    expect(look.body).toMatchObject({ rate_limits: [{ remaining: 20 }] });
  });

  it('admits together exactly what the windows have room for, and holds for nobody else', async () => {
    const key = await keyWithBudget(app, 1_000, { rate_limit_per_minute: 7 });
    const answers = await Promise.all(Array.from({ length: 60 }, () => verify(key)));
    expect(answers.filter(({ body }) => body['code'] === 'VALID')).toHaveLength(7);
    expect((await storedAccount(app.database, key.id)).held).toBe(70_000_000n);
    expect((await holdsOf(key))['held']).toBe(7);
  });

  it('judges each question of a batch on its own', async () => {
    const key = await keyWithBudget(app, 25);
    const hold = { key: key.secret, hold_cents: 10, hold_ttl_seconds: 60 };
    const { body } = await service.post('/api-keys/verify/batch', {
      requests: [hold, hold, hold, { key: 'en_no' }],
    });
    const codes = body['verdicts'].map((verdict: { code: string }) => verdict.code);
    expect(codes).toEqual(['VALID', 'VALID', 'BUDGET_EXCEEDED', 'NOT_FOUND']);
    expect((await storedAccount(app.database, key.id)).held).toBe(20_000_000n);
  });

  it('explains without holding', async () => {
    const key = await keyWithBudget(app, 25);
    const hold = { key: key.secret, hold_cents: 30, hold_ttl_seconds: 60, explain: true };
    const { body } = await app.admin.post('/api-keys/verify', hold);
    expect(body).toMatchObject({ code: 'BUDGET_EXCEEDED', budget: { held_cents_decimal: '0.000000' } });
    const fits = await app.admin.post('/api-keys/verify', { ...hold, hold_cents: 25 });
    expect(fits.body['code']).toBe('VALID');
    expect(await holdsOf(key)).toEqual({});
  });

  it('is for callers who may write usage as well', async () => {
    const { client } = await app.user({ permissions: ['platform:api-keys:verify'] });
    const key = await keyWithBudget(app, 100);
    const question = { key: key.secret, hold_cents: 1, hold_ttl_seconds: 1 };
    expectProblem(await client.post('/api-keys/verify', question), 'permission.denied');
    const batch = { requests: [{ key: key.secret }, question] };
    expectProblem(await client.post('/api-keys/verify/batch', batch), 'permission.denied');
    expect((await client.post('/api-keys/verify', { key: key.secret })).body['code']).toBe('VALID');
    expect(await holdsOf(key)).toEqual({});
  });

  it('needs an amount and a time, and names what is wrong with them', async () => {
    const key = await keyWithBudget(app, 100);
    const amountRule = { field: 'hold_cents', message: expect.stringContaining('above 0') };
    expectInvalid(await verify(key, { hold_cents: 0 }), amountRule);
    expectInvalid(await verify(key, { hold_cents: '1e3', ip: 'none' }), amountRule, {
      field: 'ip',
      message: expect.any(String),
    });
    expectInvalid(await verify(key, { hold_ttl_seconds: undefined }), {
      field: 'hold_ttl_seconds',
      message: 'is required with hold_cents',
    });
    expectInvalid(await verify(key, { hold_cents: undefined }), {
      field: 'hold_cents',
      message: 'is required with hold_ttl_seconds',
    });
    for (const wrong of [
      { hold_ttl_seconds: 0 },
      { hold_ttl_seconds: 86_401 },
      { hold_cents: null },
      { hold_cents: [] },
    ])
      expect((await verify(key, wrong)).status).toBe(422);
  });

  it('is refused without a hold too, once nothing is left', async () => {
    const key = await keyWithBudget(app, 10);
    const id = await heldId(service, key, 10);
    const ask = async () => (await service.post('/api-keys/verify', { key: key.secret })).body['code'];
    expect(await ask()).toBe('BUDGET_EXCEEDED');
    await step(service, id, 'release');
    expect(await ask()).toBe('VALID');
    await step(service, await heldId(service, key, 10), 'settle', { cost_cents: '9.999999' });
    expect(await ask()).toBe('VALID');
    const report = {
      api_key_id: key.id,
      request_id: 'last',
      endpoint: '/',
      method: 'GET',
      cost_cents: '0.000001',
    };
    await service.post('/usage', { ...report, request_tokens: 0, response_tokens: 0 });
    expect(await ask()).toBe('BUDGET_EXCEEDED');
    expect((await askToHold(service, key, '0.000001')).status).toBe(402);
  });
});
