import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { ApiAnswer } from '../support/api-client.js';
import { expectInvalid, expectProblem } from '../support/problems.js';
import { TestApp } from '../support/test-app.js';
import { newSecret } from './secrets.js';
import { act, codeOf, settle } from './verdicts.js';

const INACTIVE = '{"active":false}';

describe('POST /introspect (RFC 7662)', () => {
  let app: TestApp;
  beforeAll(async () => {
    app = await TestApp.start();
  });
  afterAll(() => app.stop());

  const send = (form: Record<string, string>): Promise<ApiAnswer> =>
    app.admin.send('POST', '/introspect', {
      rawBody: new URLSearchParams(form).toString(),
      headers: { 'content-type': 'application/x-www-form-urlencoded' },
    });
  const introspect = (token: string) => send({ token });

  /** Asked twice, so that the second answer is from memory. */
  async function expectInactive(token: string): Promise<void> {
    for (let n = 0; n < 2; n += 1) {
      const { status, text, headers } = await introspect(token);
      expect([status, text, headers.get('cache-control')]).toEqual([200, INACTIVE, 'no-store']);
    }
  }

  it('takes each field once: which of two tokens is meant nobody can tell', async () => {
    const { secret } = await app.apiKey(app.admin);
    const answer = await app.admin.send('POST', '/introspect', {
      rawBody: `token=${secret}&token_type_hint=access_token&token=${newSecret()}`,
      headers: { 'content-type': 'application/x-www-form-urlencoded' },
    });
    expectInvalid(answer, { field: 'token', message: 'must be sent once' });
  });

  it('describes a key that is active, whole', async () => {
    const expiresAt = new Date(Date.now() + 3_600_000);
    const { id, secret, body } = await app.apiKey(app.admin, {
      scopes: ['chat:write', 'embeddings'],
      tags: ['prod'],
      expires_at: expiresAt.toISOString(),
      allowed_ips: ['192.0.2.0/24'],
      allowed_models: ['gpt-4*'],
      allowed_chatbots: ['support'],
      rate_limit_per_minute: 7,
    });
    const { status, body: told, headers } = await introspect(secret);
    expect([status, headers.get('cache-control')]).toEqual([200, 'no-store']);
    expect(told).toEqual({
      active: true,
      scope: 'chat:write embeddings',
      client_id: String(id),
      sub: String(body['user_id']),
      username: 'admin',
      exp: Math.floor(expiresAt.getTime() / 1000),
      iat: Math.floor(Date.parse(body['created_at']) / 1000),
      token_type: 'Bearer',
      tags: ['prod'],
      allowed_ips: ['192.0.2.0/24'],
      allowed_models: ['gpt-4*'],
      allowed_chatbots: ['support'],
      rate_limit_per_minute: 7,
      rate_limit_per_hour: null,
      rate_limit_per_day: null,
    });
  });

  it('shows no scope as two, whatever it holds', async () => {
    const { secret } = await app.apiKey(app.admin, { scopes: ['x platform:*', 'caf\u00e9\ntwo'] });
    const { body } = await introspect(secret);
    expect(body['scope']).toBe('x%20platform:* caf%C3%A9%0Atwo');
  });

  it('says no end of a key that has none', async () => {
    const { secret } = await app.apiKey();
    expect((await introspect(secret)).body).not.toHaveProperty('exp');
  });

  it('says exactly that it is not active of whatever is no live key', async () => {
    const access = await app.anonymous.post('/auth/login', {
      username: 'admin',
      password: 'a long admin passphrase',
    });
    const secret = newSecret();
    for (const token of [
      secret,
      secret.slice(0, -1),
      'x',
      'ü',
      `${secret} `,
      String(access.body['access_token']),
    ])
      await expectInactive(token);
  });

  it.each([['deactivate'], ['delete'], ['regenerate']])('says exactly that after %s', async (ending) => {
    const key = await app.apiKey();
    expect((await introspect(key.secret)).body['active']).toBe(true);
    await act(app, key, ending);
    await expectInactive(key.secret);
  });

  it('says exactly that of an expired key, and of every key of an owner who is disabled or deleted', async () => {
    const expiring = await app.apiKey();
    await app.database.query('UPDATE api_keys SET expires_at = now() WHERE id = $1', [expiring.id]);
    const owner = await app.user({ permissions: ['platform:*'] });
    const { secret } = await app.apiKey(owner.client);
    expect((await introspect(secret)).body['active']).toBe(true);
    await app.admin.put(`/users/${owner.id}`, { is_active: false });
    await settle(app);
    await expectInactive(expiring.secret);
    await expectInactive(secret);
    await app.admin.put(`/users/${owner.id}`, { is_active: true });
    await settle(app);
    expect((await introspect(secret)).body['active']).toBe(true);
    await app.admin.delete(`/users/${owner.id}`);
    await settle(app);
    await expectInactive(secret);
  });

  it('tells when a secret in its grace ends, and nothing of it afterwards', async () => {
    const { id, secret } = await app.apiKey();
    const { body } = await app.admin.post(`/api-keys/${id}/regenerate`, { grace_period_seconds: 600 });
    await settle(app);
    const endsInSeconds = (await introspect(secret)).body['exp'] - Date.now() / 1000;
    expect(endsInSeconds).toBeGreaterThan(500);
    expect(endsInSeconds).toBeLessThanOrEqual(600);
    expect((await introspect(body['secret_key'])).body).not.toHaveProperty('exp');
    app.clock.advanceSeconds(600);
    try {
      await expectInactive(secret);
      expect((await introspect(body['secret_key'])).body['active']).toBe(true);
    } finally {
      app.clock.advanceSeconds(-600);
    }
  });

  it('judges neither address, model, budget nor rate limit, and consumes nothing', async () => {
    const spent = await app.apiKey(app.admin, {
      allowed_ips: ['192.0.2.1'],
      allowed_models: ['gpt-4'],
      is_unlimited: false,
      budget_limit_cents: 0,
    });
    expect((await introspect(spent.secret)).body['active']).toBe(true);
    const { secret } = await app.apiKey(app.admin, { rate_limit_per_minute: 1 });
    for (let n = 0; n < 5; n += 1) expect((await introspect(secret)).body['active']).toBe(true);
    expect(await codeOf(app.admin, secret)).toBe('VALID');
    expect(await codeOf(app.admin, secret)).toBe('RATE_LIMITED');
    expect((await introspect(secret)).body['active']).toBe(true);
  });

  it('takes a form with a token, and what the RFC lets callers add', async () => {
    const { secret } = await app.apiKey();
    expect((await send({ token: secret, token_type_hint: 'access_token' })).body['active']).toBe(true);
    expectInvalid(await send({}), { field: 'token', message: 'is required' });
    expectProblem(await send({ token: 'x'.repeat(16_385) }), 'validation.failed');
  });
});
