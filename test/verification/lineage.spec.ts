import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { ApiClient } from '../support/api-client.js';
import { ADMIN, logIn, TestApp, type TestApiKey } from '../support/test-app.js';
import { codeOf, settle, verdictOf } from './verdicts.js';

const CREATE = 'platform:api-keys:create';
const POLICY = { scopes: [CREATE, 'chat'], allowed_models: ['gpt-*'] };
const ASKED = { ip: '127.0.0.1', model: 'gpt-4', chatbot: 'helper', scopes: ['chat'] };

/** What is done to the key at the top of a line, and the code of the key at its bottom from then on. */
const CHANGES: readonly (readonly [code: string, fields: object, forwardAuth: number])[] = [
  ['DISABLED', { is_active: false }, 401],
  ['IP_NOT_ALLOWED', { allowed_ips: ['10.0.0.0/8'] }, 403],
  ['MODEL_NOT_ALLOWED', { allowed_models: ['gpt-5', '*-mini'] }, 403],
  ['CHATBOT_NOT_ALLOWED', { allowed_chatbots: ['other-*'] }, 403],
  ['INSUFFICIENT_SCOPE', { scopes: [CREATE] }, 403],
  ['BUDGET_EXCEEDED', { is_unlimited: false, budget_limit_cents: 0 }, 402],
];

describe('a key that came from others', { timeout: 60_000 }, () => {
  let here: TestApp;
  let there: TestApp;
  let elsewhere: ApiClient;
  beforeAll(async () => {
    here = await TestApp.start();
    there = await TestApp.start({ database: here.database });
    elsewhere = await logIn(there.anonymous, ADMIN.username, ADMIN.password);
  });
  afterAll(async () => {
    await there.stop();
    await here.stop();
  });

  const childOf = (parent: TestApiKey, fields: object = {}) =>
    here.apiKey(here.anonymous.withApiKey(parent.secret), { ...fields });

  /** A line of keys, from the top; each states no more than the one above. */
  async function line(length: number, fields: object = POLICY): Promise<TestApiKey[]> {
    const keys = [await here.apiKey(here.admin, { ...fields })];
    while (keys.length < length) keys.push(await childOf(keys.at(-1)!, { scopes: POLICY.scopes }));
    return keys;
  }

  const forwardAuth = async ({ secret }: TestApiKey) => {
    const path = '/forward-auth?model=gpt-4&chatbot=helper&scope=chat';
    return (await here.anonymous.withApiKey(secret).get(path)).status;
  };

  it.each(CHANGES)('is %s as soon as a key above it is changed to be', async (code, fields, status) => {
    const [top, middle, bottom] = (await line(3)) as [TestApiKey, TestApiKey, TestApiKey];
    for (const client of [here.admin, elsewhere]) {
      expect(await codeOf(client, bottom.secret, ASKED)).toBe('VALID');
      expect(await codeOf(client, middle.secret, ASKED)).toBe('VALID');
    }
    expect(await forwardAuth(bottom)).toBe(200);
    expect((await here.admin.put(`/api-keys/${top.id}`, fields)).status).toBe(200);
    expect(await codeOf(here.admin, bottom.secret, ASKED)).toBe(code);
    expect(await forwardAuth(bottom)).toBe(status);
    await settle(there);
    expect(await codeOf(elsewhere, bottom.secret, ASKED)).toBe(code);
    expect(await codeOf(elsewhere, middle.secret, ASKED)).toBe(code);
    // What was taken away is given back.
    await here.admin.put(`/api-keys/${top.id}`, {
      ...POLICY,
      is_active: true,
      allowed_ips: [],
      allowed_chatbots: [],
      is_unlimited: true,
    });
    expect(await codeOf(here.admin, bottom.secret, ASKED)).toBe('VALID');
  });

  it('expires with the first of them, and every door says so', async () => {
    const [top, bottom] = (await line(2)) as [TestApiKey, TestApiKey];
    const expiresAt = new Date(here.clock.now().getTime() + 3_600_000).toISOString();
    await here.admin.put(`/api-keys/${top.id}`, { expires_at: expiresAt });
    expect(await verdictOf(here.admin, bottom.secret, ASKED)).toMatchObject({
      code: 'VALID',
      expires_at: expiresAt,
    });
    const introspected = await here.admin.post('/introspect', { token: bottom.secret });
    expect(introspected.body).toMatchObject({ active: true, exp: Math.floor(Date.parse(expiresAt) / 1_000) });
    await here.database.query(`UPDATE api_keys SET expires_at = now() - interval '1 hour' WHERE id = $1`, [
      top.id,
    ]);
    await settle(here);
    expect(await codeOf(here.admin, bottom.secret, ASKED)).toBe('EXPIRED');
    expect(await forwardAuth(bottom)).toBe(401);
    expect((await here.admin.post('/introspect', { token: bottom.secret })).body).toEqual({ active: false });
    expect((await here.anonymous.withApiKey(bottom.secret).get('/auth/me')).status).toBe(401);
    expect((await here.anonymous.withApiKey(bottom.secret).post('/api-keys', { name: 'A key' })).status).toBe(
      401,
    );
  });

  it('is introspected with what all of them allow, and inactive where that is nothing', async () => {
    const [top, bottom] = (await line(2, {
      ...POLICY,
      allowed_ips: ['10.0.0.0/8', '192.0.2.0/24', '127.0.0.1'],
    })) as [TestApiKey, TestApiKey];
    await here.database.query(
      `UPDATE api_keys SET allowed_ips = '{10.1.0.0/16,0.0.0.0/0}', allowed_models = '{gpt-4*,*-mini}',
         scopes = '{chat,other}', rate_limit_per_minute = 50 WHERE id = $1`,
      [bottom.id],
    );
    await here.admin.put(`/api-keys/${top.id}`, { rate_limit_per_minute: 20, rate_limit_per_hour: 90 });
    const introspected = async () => (await here.admin.post('/introspect', { token: bottom.secret })).body;
    expect(await introspected()).toMatchObject({
      active: true,
      scope: 'chat',
      allowed_ips: ['10.1.0.0/16', '10.0.0.0/8', '192.0.2.0/24', '127.0.0.1'],
      allowed_models: ['gpt-4*'],
      rate_limit_per_minute: 20,
      rate_limit_per_hour: 90,
      rate_limit_per_day: null,
    });
    await here.admin.put(`/api-keys/${top.id}`, { allowed_models: ['claude-*'] });
    expect(await introspected()).toEqual({ active: false });
  });

  it('takes from the rate windows of all of them together, so that children multiply nothing', async () => {
    const parent = await here.apiKey(here.admin, { ...POLICY, rate_limit_per_minute: 5 });
    const [first, second] = [await childOf(parent), await childOf(parent, { rate_limit_per_minute: 2 })];
    const ask = (key: TestApiKey, cost = 1) =>
      verdictOf(here.admin, key.secret, { ...ASKED, scopes: [], cost });
    const remaining = (verdict: Record<string, unknown>) => [
      verdict['code'],
      (verdict['rate_limits'] as { remaining: number }[])[0]!.remaining,
    ];
    expect(remaining(await ask(first, 2))).toEqual(['VALID', 3]);
    expect(remaining(await ask(second))).toEqual(['VALID', 1]);
    // What one of them refuses is taken from none.
    expect(remaining(await ask(second, 2))).toEqual(['RATE_LIMITED', 1]);
    expect(remaining(await ask(first, 3))).toEqual(['RATE_LIMITED', 2]);
    expect(remaining(await ask(parent))).toEqual(['VALID', 1]);
    expect(remaining(await ask(first))).toEqual(['VALID', 0]);
    for (const key of [first, second, parent]) expect(remaining(await ask(key))).toEqual(['RATE_LIMITED', 0]);
    expect(remaining(await ask(second, 0))).toEqual(['RATE_LIMITED', 0]);
  });

  it('spends and holds within the budget of all of them', async () => {
    const parent = await here.apiKey(here.admin, { ...POLICY, is_unlimited: false, budget_limit_cents: 100 });
    const [first, second] = [await childOf(parent), await childOf(parent)];
    const hold = (key: TestApiKey, amount: number) =>
      here.admin.post('/budget-holds', { key: key.secret, amount_cents: amount, ttl_seconds: 60 });
    expect((await hold(first, 60)).status).toBe(201);
    expect((await hold(second, 60)).status).toBe(402);
    expect((await hold(second, 40)).status).toBe(201);
    for (const key of [parent, first, second])
      expect(await codeOf(here.admin, key.secret, { ...ASKED, scopes: [] })).toBe('BUDGET_EXCEEDED');
  });

  it('gets no hold while a key above it is disabled or expired', async () => {
    const [top, bottom] = (await line(2)) as [TestApiKey, TestApiKey];
    const hold = () =>
      here.admin.post('/budget-holds', { api_key_id: bottom.id, amount_cents: 1, ttl_seconds: 60 });
    const change = (sql: string) => here.database.query(`UPDATE api_keys SET ${sql} WHERE id = $1`, [top.id]);
    expect((await hold()).status).toBe(201);
    for (const sql of ['is_active = false', `is_active = true, expires_at = now() - interval '1 second'`]) {
      await change(sql);
      expect((await hold()).status).toBe(409);
    }
    await change('expires_at = NULL');
    expect((await hold()).status).toBe(201);
  });

  it('counts in the budget that a key above it is given later, with all that it spent before', async () => {
    const [parent, child] = (await line(2)) as [TestApiKey, TestApiKey];
    const event = {
      api_key_id: child.id,
      request_id: 'spent-before',
      endpoint: '/chat',
      method: 'POST',
      request_tokens: 1,
      response_tokens: 1,
      cost_cents: 30,
    };
    expect((await here.admin.post('/usage', event)).status).toBe(200);
    for (const client of [here.admin, elsewhere])
      expect(await codeOf(client, child.secret, ASKED)).toBe('VALID');
    await here.admin.put(`/api-keys/${parent.id}`, { is_unlimited: false, budget_limit_cents: 30 });
    expect(await codeOf(here.admin, child.secret, ASKED)).toBe('BUDGET_EXCEEDED');
    await settle(there);
    expect(await codeOf(elsewhere, child.secret, ASKED)).toBe('BUDGET_EXCEEDED');
    await here.admin.put(`/api-keys/${parent.id}`, { budget_limit_cents: 31 });
    expect(await codeOf(here.admin, child.secret, ASKED)).toBe('VALID');
  });

  it('is explained by each of them alone, so that it shows which one refuses', async () => {
    const [top, middle, bottom] = (await line(3)) as [TestApiKey, TestApiKey, TestApiKey];
    await here.admin.put(`/api-keys/${middle.id}`, { allowed_models: ['gpt-5'] });
    await here.admin.put(`/api-keys/${top.id}`, {
      rate_limit_per_hour: 1,
      is_unlimited: false,
      budget_limit_cents: 0,
      is_active: false,
    });
    const { code, rules } = await verdictOf(here.admin, bottom.secret, { ...ASKED, cost: 2, explain: true });
    expect(code).toBe('DISABLED');
    const passed = Object.fromEntries(
      (
        rules as {
          code: string;
          passed: boolean;
          inputs: { line: { api_key_id: number; passed: boolean }[] };
        }[]
      ).map((rule) => [
        rule.code,
        [rule.passed, ...rule.inputs.line.map((key) => [key.api_key_id, key.passed])],
      ]),
    );
    const ids = [bottom.id, middle.id, top.id];
    const each = (...results: boolean[]) => results.map((result, index) => [ids[index], result]);
    expect(passed).toEqual({
      DISABLED: [false, ...each(true, true, false)],
      EXPIRED: [true, ...each(true, true, true)],
      POLICY_VIOLATION: [true, ...each(true, true, true)],
      IP_NOT_ALLOWED: [true, ...each(true, true, true)],
      MODEL_NOT_ALLOWED: [false, ...each(true, false, true)],
      CHATBOT_NOT_ALLOWED: [true, ...each(true, true, true)],
      INSUFFICIENT_SCOPE: [true, ...each(true, true, true)],
      BUDGET_EXCEEDED: [false, ...each(true, true, false)],
      RATE_LIMITED: [false, ...each(true, true, false)],
    });
  });
});
