import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { ApiAnswer } from '../support/api-client.js';
import { expectProblem } from '../support/problems.js';
import { TestApp } from '../support/test-app.js';
import { newSecret } from './secrets.js';
import { act, settle } from './verdicts.js';

describe('GET /forward-auth', () => {
  let app: TestApp;
  beforeAll(async () => {
    app = await TestApp.start();
  });
  afterAll(() => app.stop());

  const ask = (secret: string, query = '', headers = {}): Promise<ApiAnswer> =>
    app.anonymous.withApiKey(secret).get(`/forward-auth${query}`, headers);
  const newKey = async (fields: Record<string, unknown>) => (await app.apiKey(app.admin, fields)).secret;

  function expectRefused(
    answer: ApiAnswer,
    problem: Parameters<typeof expectProblem>[1],
    verdict: string,
  ): void {
    expectProblem(answer, problem);
    expect([answer.body['verdict'], answer.headers.get('x-api-key-code')]).toEqual([verdict, verdict]);
    expect(answer.headers.get('x-api-key-id')).toBeNull();
  }

  it('says of a valid key who it is, in either header, without a body', async () => {
    const { id, secret, body } = await app.apiKey(app.admin, {
      name: 'Größe 100%\u{1f511}',
      scopes: ['chat:write', 'a b', 'ü'],
    });
    for (const answer of [
      await ask(secret),
      await app.anonymous.withAccessToken(secret).get('/forward-auth'),
    ]) {
      expect([answer.status, answer.text]).toEqual([200, '']);
      expect(Object.fromEntries(answer.headers)).toMatchObject({
        'x-api-key-id': String(id),
        'x-api-key-name': 'Gr%C3%B6%C3%9Fe 100%25%F0%9F%94%91',
        'x-api-key-user-id': String(body['user_id']),
        'x-api-key-scopes': 'chat:write a%20b %C3%BC',
        'x-api-key-code': 'VALID',
      });
      expect(answer.headers.get('ratelimit')).toBeNull();
    }
  });

  it('is 401 for a key that is not known, not active or over', async () => {
    const disabled = await app.apiKey();
    await act(app, disabled, 'deactivate');
    const expired = await app.apiKey();
    await app.database.query('UPDATE api_keys SET expires_at = now() WHERE id = $1', [expired.id]);
    await settle(app);
    const refusals: readonly [secret: string, verdict: string][] = [
      [newSecret(), 'NOT_FOUND'],
      ['nonsense', 'NOT_FOUND'],
      [disabled.secret, 'DISABLED'],
      [expired.secret, 'EXPIRED'],
    ];
    for (const [secret, verdict] of refusals) {
      const answer = await ask(secret);
      expectRefused(answer, 'verdict.not_authenticated', verdict);
      expect(answer.headers.get('www-authenticate')).toBe('Bearer');
    }
  });

  it('is 401 for callers that send no API key, also with a session, and 400 for two credentials', async () => {
    const without = [
      await app.anonymous.get('/forward-auth'),
      await app.admin.get('/forward-auth'),
      await app.anonymous.get('/forward-auth', { authorization: 'Basic eDp5' }),
      await ask(''),
    ];
    for (const answer of without) expectRefused(answer, 'verdict.not_authenticated', 'NOT_FOUND');
    const { secret } = await app.apiKey();
    const both = await ask(secret, '', { authorization: `Bearer ${secret}` });
    expectProblem(both, 'auth.credential_ambiguous');
  });

  it('is 403 for an address, a model, a chatbot or a scope that the key is not good for', async () => {
    const [address, model, chatbot, scoped] = [
      await newKey({ allowed_ips: ['192.0.2.1'] }),
      await newKey({ allowed_models: ['gpt-4*'] }),
      await newKey({ allowed_chatbots: ['support'] }),
      await newKey({ scopes: ['a', 'b'] }),
    ];
    const claim = { 'x-forwarded-for': '192.0.2.1', 'x-real-ip': '192.0.2.1' };
    const refusals: readonly [answer: ApiAnswer, verdict: string][] = [
      [await ask(address, '', claim), 'IP_NOT_ALLOWED'],
      [await ask(model), 'MODEL_NOT_ALLOWED'],
      [await ask(model, '?model=claude'), 'MODEL_NOT_ALLOWED'],
      [await ask(chatbot, '?chatbot=sales'), 'CHATBOT_NOT_ALLOWED'],
      [await ask(scoped, '?scope=c'), 'INSUFFICIENT_SCOPE'],
      [await ask(scoped, '?scope=a%20c'), 'INSUFFICIENT_SCOPE'],
      [await ask(scoped, '?scope=a&scope=c'), 'INSUFFICIENT_SCOPE'],
    ];
    for (const [answer, verdict] of refusals) expectRefused(answer, 'verdict.not_allowed', verdict);
    const passed = [
      await ask(model, '?model=gpt-4o'),
      await ask(chatbot, '?chatbot=support'),
      await ask(scoped, '?scope=a%20b'),
      await ask(scoped, '?scope=a&scope=b+a'),
      await ask(scoped, '?scope='),
    ];
    expect(passed.map(({ status }) => status)).toEqual([200, 200, 200, 200, 200]);
  });

  it('is 402 for a budget that is used up', async () => {
    const secret = await newKey({ is_unlimited: false, budget_limit_cents: 0 });
    expectRefused(await ask(secret), 'verdict.budget_exceeded', 'BUDGET_EXCEEDED');
  });

  it('takes one request each time, tells what is left, and is 429 when nothing is', async () => {
    const secret = await newKey({ rate_limit_per_minute: 2, scopes: ['a'] });
    const left = (answer: ApiAnswer) => /r=(\d+)/.exec(answer.headers.get('ratelimit') ?? '')?.[1];
    expect(left(await ask(secret))).toBe('1');
    const refused = await ask(secret, '?scope=b');
    expectRefused(refused, 'verdict.not_allowed', 'INSUFFICIENT_SCOPE');
    expect(left(refused)).toBe('1');
    expect(left(await ask(secret))).toBe('0');
    const limited = await ask(secret);
    expectRefused(limited, 'verdict.rate_limited', 'RATE_LIMITED');
    expect(limited.headers.get('ratelimit-policy')).toBe('"minute";q=2;w=60');
    const [waitSeconds, resetSeconds] = [
      Number(limited.headers.get('retry-after')),
      Number(/^"minute";r=0;t=(\d+)$/.exec(limited.headers.get('ratelimit') ?? '')?.[1]),
    ];
    expect(waitSeconds).toBeGreaterThan(50);
    expect(resetSeconds).toBeLessThanOrEqual(waitSeconds);
    app.clock.advanceSeconds(waitSeconds);
    expect((await ask(secret)).status).toBe(200);
  });

  it('is 422 for a question that it does not know', async () => {
    const { secret } = await app.apiKey();
    for (const query of ['?models=x', '?key=x', `?model=${'x'.repeat(201)}`, '?model=a&model=b'])
      expectProblem(await ask(secret, query), 'validation.failed');
  });
});
