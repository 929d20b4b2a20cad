import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { ApiAnswer, ApiClient } from '../support/api-client.js';
import { setPermissions } from '../support/api-keys.js';
import { auditRowsOf } from '../support/audit-trail.js';
import { expectProblem } from '../support/problems.js';
import { TestApp, type TestApiKey, type TestUser } from '../support/test-app.js';
import { act, change, codeOf, settle } from './verdicts.js';

const VERIFY = 'platform:api-keys:verify';

/** The questions that need the permission, each as it is asked of a secret. */
const DOORS = [
  {
    action: 'verify_api_key',
    ask: (client: ApiClient, key: string) => client.post('/api-keys/verify', { key }),
  },
  {
    action: 'verify_api_keys',
    ask: (client: ApiClient, key: string) => client.post('/api-keys/verify/batch', { requests: [{ key }] }),
  },
  {
    action: 'introspect_api_key',
    ask: (client: ApiClient, key: string) =>
      client.send('POST', '/introspect', {
        rawBody: `token=${key}`,
        headers: { 'content-type': 'application/x-www-form-urlencoded' },
      }),
  },
] as const;

let app: TestApp;
beforeAll(async () => {
  app = await TestApp.start();
});
afterAll(() => app.stop());

describe.each(DOORS)('$action answers', ({ action, ask }) => {
  let judged: TestApiKey;
  beforeAll(async () => {
    judged = await app.apiKey(app.admin, { rate_limit_per_minute: 1 });
  });

  /** A request that consumes nothing by itself, so that only the caller matters. */
  const asked = (client: ApiClient) => ask(client, 'nonsense');
  const status = async (client: ApiClient) => (await asked(client)).status;
  const callerWith = (permissions: string[]) => app.user({ permissions });

  async function expectRefused(answer: ApiAnswer, actor: TestUser, key: TestApiKey | null): Promise<void> {
    expectProblem(answer, 'permission.denied');
    expect(await auditRowsOf(app.database, answer)).toEqual([
      expect.objectContaining({
        user_id: actor.id,
        api_key_id: key?.id ?? null,
        action,
        resource_type: 'api_key',
        success: false,
        ip_address: '127.0.0.1',
      }),
    ]);
  }

  it.each([[VERIFY], ['platform:api-keys:*'], ['platform:*:verify'], ['platform:*']])(
    'who holds %s, by a session or by a key of theirs',
    async (permission) => {
      const caller = await callerWith([permission]);
      expect(await status(caller.client)).toBe(200);
      const key = await app.apiKeyOf(caller, { scopes: [VERIFY] });
      expect(await status(app.anonymous.withApiKey(key.secret))).toBe(200);
      expect(await status(app.anonymous.withAccessToken(key.secret))).toBe(200);
    },
  );

  it.each([
    ['platform:api-keys:read'],
    ['platform:usage:write'],
    ['platform:api-keys'],
    ['platform:users:*'],
  ])('nobody who holds only %s, and leaves a row of each refusal', async (permission) => {
    const caller = await callerWith([permission]);
    await expectRefused(await ask(caller.client, judged.secret), caller, null);
    // A second time from memory.
    await expectRefused(await ask(caller.client, judged.secret), caller, null);
  });

  it('no key that lacks the scope, and none whose owner lacks the permission', async () => {
    const caller = await callerWith([VERIFY]);
    for (const scopes of [[], ['*'], ['platform:api-keys:read'], ['api-keys:verify']]) {
      const key = await app.apiKeyOf(caller, { scopes });
      await expectRefused(await ask(app.anonymous.withApiKey(key.secret), judged.secret), caller, key);
    }
    const key = await app.apiKeyOf(caller, { scopes: [VERIFY] });
    const client = app.anonymous.withApiKey(key.secret);
    expect(await status(client)).toBe(200);
    await setPermissions(app, caller, []);
    await settle(app);
    await expectRefused(await ask(client, judged.secret), caller, key);
    await setPermissions(app, caller, [VERIFY]);
    await settle(app);
    expect(await status(client)).toBe(200);
  });

  it('nobody without a credential, or with one that is none', async () => {
    expectProblem(await ask(app.anonymous, judged.secret), 'auth.credential_missing');
    for (const token of ['x', 'a.b.c', judged.secret.slice(0, -1)]) {
      expectProblem(
        await ask(app.anonymous.withAccessToken(token), judged.secret),
        'auth.credential_invalid',
      );
      expectProblem(await ask(app.anonymous.withApiKey(token), judged.secret), 'auth.credential_invalid');
    }
  });

  it('nobody who was disabled, logged out or deleted, as soon as that is known', async () => {
    const disabled = await callerWith([VERIFY]);
    const key = await app.apiKeyOf(disabled, { scopes: [VERIFY] });
    const byKey = app.anonymous.withApiKey(key.secret);
    expect([await status(disabled.client), await status(byKey)]).toEqual([200, 200]);
    await app.admin.put(`/users/${disabled.id}`, { is_active: false });
    await settle(app);
    expectProblem(await ask(disabled.client, judged.secret), 'auth.credential_invalid');
    expectProblem(await ask(byKey, judged.secret), 'auth.credential_invalid');

    const loggedOut = await callerWith([VERIFY]);
    expect(await status(loggedOut.client)).toBe(200);
    expect((await loggedOut.client.post('/auth/logout')).status).toBeLessThan(300);
    await settle(app);
    expectProblem(await ask(loggedOut.client, judged.secret), 'auth.credential_invalid');

    const deleted = await callerWith([VERIFY]);
    expect(await status(deleted.client)).toBe(200);
    await app.admin.delete(`/users/${deleted.id}`);
    await settle(app);
    expectProblem(await ask(deleted.client, judged.secret), 'auth.credential_invalid');
  });

  it.each([['deactivate'], ['delete'], ['regenerate']])('no key after %s', async (ending) => {
    const key = await app.apiKey(app.admin, { scopes: [VERIFY] });
    const client = app.anonymous.withApiKey(key.secret);
    expect(await status(client)).toBe(200);
    await act(app, key, ending);
    expectProblem(await ask(client, judged.secret), 'auth.credential_invalid');
  });

  it('no key that has expired, or from an address that it may not be used from', async () => {
    const key = await app.apiKey(app.admin, { scopes: [VERIFY], allowed_ips: ['127.0.0.0/8'] });
    const client = app.anonymous.withApiKey(key.secret);
    expect(await status(client)).toBe(200);
    await change(app, key, { allowed_ips: ['192.0.2.1'] });
    expectProblem(await ask(client, judged.secret), 'auth.credential_invalid');
    await change(app, key, { allowed_ips: [] });
    expect(await status(client)).toBe(200);
    await app.database.query('UPDATE api_keys SET expires_at = now() WHERE id = $1', [key.id]);
    await settle(app);
    expectProblem(await ask(client, judged.secret), 'auth.credential_invalid');
  });

  it('and has taken nothing for those whom it refused', async () => {
    expect(await codeOf(app.admin, judged.secret)).toBe('VALID');
  });
});

it('two credentials at once are refused as ambiguous', async () => {
  const { secret } = await app.apiKey(app.admin, { scopes: [VERIFY] });
  const answer = await app.admin.post('/api-keys/verify', { key: secret }, { 'x-api-key': secret });
  expectProblem(answer, 'auth.credential_ambiguous');
});

describe('an explanation needs the permission to read keys as well', () => {
  it('alone and in a batch, and nothing of a batch is taken without it', async () => {
    const key = await app.apiKey(app.admin, { rate_limit_per_minute: 1 });
    const service = await app.user({ role: 'service' });
    const reader = await app.user({ permissions: [VERIFY, 'platform:api-keys:read'] });
    const explained = { key: key.secret, explain: true };
    const batch = { requests: [{ key: key.secret }, explained] };
    for (const [path, body] of [
      ['/api-keys/verify', explained],
      ['/api-keys/verify/batch', batch],
    ] as const) {
      expectProblem(await service.client.post(path, body), 'permission.denied');
      expectProblem(
        await service.client.post(path, JSON.parse(JSON.stringify(body).replace(key.secret, 'x'))),
        'permission.denied',
      );
    }
    expect((await reader.client.post('/api-keys/verify', explained)).body['code']).toBe('VALID');
    const answer = await reader.client.post('/api-keys/verify/batch', batch);
    expect((answer.body['verdicts'] as { code: string }[]).map(({ code }) => code)).toEqual([
      'VALID',
      'VALID',
    ]);
    expect(await codeOf(service.client, key.secret)).toBe('RATE_LIMITED');
  });
});
