import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { ApiClient } from '../support/api-client.js';
import { AppProcess } from '../support/app-process.js';
import { createTestDatabase, type TestDatabase } from '../support/database.js';
import { TcpProxy } from '../support/tcp-proxy.js';
import { testEnvironment } from '../support/test-app.js';
import { newSecret } from '../verification/secrets.js';
import { type Outside, type OutsideAnswer, send } from './client.js';
import { Gateway, type GatewayProgram } from './gateway.js';
import { ProtectedService, type SeenRequest } from './protected-service.js';

const FORGED = {
  'X-Api-Key-Id': '1',
  'x-api-key-name': 'Root',
  'X-API-KEY-USER-ID': '1',
  'X-Api-Key-Scopes': 'platform:*',
  'X-Api-Key-Code': 'VALID',
  X_Api_Key_Id: '2',
  X_API_KEY_SCOPES: 'platform:*',
  'X_Api-Key-Id': '3',
  'X-Api_Key-Id': '4',
  'X-Api-Key_Id': '5',
  'X-Api-Key-User_Id': '6',
};
const CLAIMED_ADDRESS = {
  'X-Forwarded-For': '127.0.0.2',
  Forwarded: 'for=127.0.0.2',
  'X-Real-IP': '127.0.0.2',
};
/** Only Linux gives a machine every address of 127.0.0.0/8. */
const HAS_TWO_ADDRESSES = process.platform === 'linux';

/** What every gateway must keep with its file from docs/gateways; each is run as it is, before a service. */
export function describeGateway(program: GatewayProgram): void {
  const { name, isInstalled } = program;
  describe.skipIf(!isInstalled)(`behind ${name}${isInstalled ? '' : ', which is not installed'}`, () => {
    let database: TestDatabase;
    let proxy: TcpProxy;
    let latchkey: AppProcess;
    let admin: ApiClient;
    let service: ProtectedService;
    let gateway: Gateway;
    let particular: Gateway;

    beforeAll(async () => {
      database = await createTestDatabase();
      proxy = await TcpProxy.start(database.url);
      latchkey = await AppProcess.start({
        ...testEnvironment(proxy.urlOf(database.url)),
        TRUSTED_PROXIES: '127.0.0.1',
      });
      admin = await latchkey.admin();
      service = await ProtectedService.start();
      const between = { latchkeyPort: Number(new URL(latchkey.baseUrl).port), servicePort: service.port };
      gateway = await Gateway.start(program, between);
      particular = await Gateway.start(program, {
        ...between,
        question: 'scope=chat:write&model=gpt-4o',
      });
    });
    afterAll(async () => {
      await Promise.all([gateway.stop(), particular.stop()]);
      service.stop();
      await latchkey.kill9();
      proxy.stop();
      await database.drop();
    });

    /** A key with the fields, as the headers that present it. */
    async function newKey(fields: Readonly<Record<string, unknown>> = {}) {
      const { status, body, text } = await admin.post('/api-keys', { name: 'A key', ...fields });
      if (status !== 201) throw new Error(`The key was not made: ${text}`);
      const { id, user_id: userId } = body['api_key'] as { id: number; user_id: number };
      return { id, userId, headers: { 'X-API-Key': String(body['secret_key']) } };
    }

    /** An answer, and what reached the service for it. */
    async function ask(
      outside: Outside = {},
      by = gateway,
    ): Promise<{ answer: OutsideAnswer; seen: readonly SeenRequest[] }> {
      let answer: OutsideAnswer | undefined;
      const seen = await service.during(async () => {
        answer = await send(by.port, outside);
      });
      return { answer: answer!, seen };
    }

    /** Asserts that the client gets what Latchkey itself answers, and the service nothing. */
    async function expectRefused(headers: Record<string, string>, status: number): Promise<OutsideAnswer> {
      const { answer, seen } = await ask({ headers });
      const told = await latchkey.anonymous.get('/forward-auth', headers);
      expect([answer.status, seen]).toEqual([status, []]);
      expect(answer.status).toBe(told.status);
      expect(answer.headers['content-type']).toMatch(/^application\/problem\+json/);
      const { type, title, code, verdict } = told.body;
      const problem = JSON.parse(answer.text) as Record<string, unknown>;
      expect(problem).toMatchObject({ type, title, status, code });
      expect(problem['verdict']).toBe(verdict);
      expect(problem['request_id']).toBe(answer.headers['x-request-id']);
      for (const field of ['x-api-key-code', 'www-authenticate', 'ratelimit-policy', 'cache-control'])
        expect([field, answer.headers[field]]).toEqual([field, told.headers.get(field) ?? undefined]);
      expect(answer.headers['x-service']).toBeUndefined();
      return answer;
    }

    it('a request with a valid key is passed on whole, with who it is from and without the secret', async () => {
      const { id, userId, headers } = await newKey({ name: 'Schlüssel 1', scopes: ['chat:write', 'a b'] });
      const body = 'x'.repeat(100_000);
      const bearer = { Authorization: `Bearer ${headers['X-API-Key']}`, 'Transfer-Encoding': 'chunked' };
      for (const credential of [headers, bearer]) {
        const { answer, seen } = await ask({
          method: 'POST',
          path: '/v1/chat?stream=true&a=%20b',
          headers: { ...credential, 'Content-Type': 'text/plain', 'X-Mine': 'kept' },
          body,
        });
        expect([answer.status, answer.text]).toEqual([200, 'served']);
        expect(answer.headers['x-service']).toBe('here');
        expect(seen).toEqual([
          { method: 'POST', url: '/v1/chat?stream=true&a=%20b', body, headers: expect.anything() },
        ]);
        expect(seen[0]!.headers).toMatchObject({
          'x-api-key-id': String(id),
          'x-api-key-name': 'Schl%C3%BCssel 1',
          'x-api-key-user-id': String(userId),
          'x-api-key-scopes': 'chat:write a%20b',
          'x-forwarded-for': '127.0.0.1',
          'x-mine': 'kept',
        });
        expect(JSON.stringify(seen[0]!.headers)).not.toContain(headers['X-API-Key']);
      }
    });

    it.each(['GET', 'HEAD', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'])(
      '%s is passed on as well',
      async (method) => {
        const { headers } = await newKey();
        const { answer, seen } = await ask({ method, headers });
        expect([answer.status, seen[0]?.method]).toEqual([200, method]);
      },
    );

    it.each([204, 401, 403, 429, 500, 503])(
      'the answer of the service is left as it is: %i',
      async (status) => {
        const { headers } = await newKey();
        const { answer } = await ask({ headers: { ...headers, 'X-Wanted-Status': String(status) } });
        expect(answer.status).toBe(status);
        expect(answer.headers['x-service']).toBe('here');
        expect(answer.text).toBe(status === 204 ? '' : 'served');
      },
    );

    it('nobody says by themselves who they are', async () => {
      const { id, userId, headers } = await newKey();
      const { seen } = await ask({ headers: { ...headers, ...FORGED } });
      const told = Object.entries(seen[0]!.headers).filter(([field]) => /api/.test(field));
      expect(Object.fromEntries(told.filter(([, value]) => value !== ''))).toEqual({
        'x-api-key-id': String(id),
        'x-api-key-name': 'A key',
        'x-api-key-user-id': String(userId),
      });
    });

    it('without a key that is known it is 401, and the service hears nothing', async () => {
      await expectRefused({ 'X-API-Key': newSecret() }, 401);
      await expectRefused({ 'X-API-Key': 'nonsense' }, 401);
      await expectRefused({ Authorization: `Bearer ${newSecret()}` }, 401);
      const disabled = await newKey();
      await admin.post(`/api-keys/${disabled.id}/deactivate`);
      await expectRefused(disabled.headers, 401);
      await expectRefused({}, 401);
      await expectRefused(FORGED, 401);
      await expectRefused({ Authorization: 'Basic eDp5' }, 401);
    });

    it('with two credentials it is 400', async () => {
      const { headers } = await newKey();
      await expectRefused({ ...headers, Authorization: 'Basic eDp5' }, 400);
    });

    it('with a budget that is used up it is 402', async () => {
      const { headers } = await newKey({ is_unlimited: false, budget_limit_cents: 0 });
      await expectRefused(headers, 402);
    });

    it('beyond a rate limit it is 429 and says when to come again; before, it says what is left', async () => {
      const { headers } = await newKey({ rate_limit_per_minute: 2, rate_limit_per_day: 10 });
      const policy = '"minute";q=2;w=60, "day";q=10;w=86400';
      for (const left of [1, 0]) {
        const { answer, seen } = await ask({ headers });
        expect([answer.status, seen.length]).toEqual([200, 1]);
        expect(answer.headers['ratelimit']).toMatch(new RegExp(`^"minute";r=${left};t=\\d+, "day";r=`));
        expect(answer.headers['ratelimit-policy']).toBe(policy);
      }
      const answer = await expectRefused(headers, 429);
      expect(Number(answer.headers['retry-after'])).toBeGreaterThan(0);
      expect(Number(answer.headers['retry-after'])).toBeLessThanOrEqual(66);
      expect(answer.headers['ratelimit']).toMatch(/^"minute";r=0;t=\d+, "day";r=8;t=\d+$/);
    });

    it('a key without limits has no fields that tell of them', async () => {
      const { headers } = await newKey();
      const { answer } = await ask({ headers });
      const fields = Object.keys(answer.headers).filter((field) => field.startsWith('ratelimit'));
      expect(fields).toEqual([]);
    });

    it('from an address that the key does not allow it is 403, whatever address the client claims', async () => {
      const { headers } = await newKey({ allowed_ips: ['127.0.0.2'] });
      await expectRefused(headers, 403);
      const { answer, seen } = await ask({ headers: { ...headers, ...CLAIMED_ADDRESS } });
      expect([answer.status, seen]).toEqual([403, []]);
    });

    it.runIf(HAS_TWO_ADDRESSES)('from an address that the key allows it passes', async () => {
      const { headers } = await newKey({ allowed_ips: ['127.0.0.2'] });
      const { answer, seen } = await ask({ headers, from: '127.0.0.2' });
      expect([answer.status, seen[0]?.headers['x-forwarded-for']]).toEqual([200, '127.0.0.2']);
    });

    it('the gateway asks for the scopes and the model that it is configured with', async () => {
      const fit = await newKey({ scopes: ['chat:write'], allowed_models: ['gpt-4*'] });
      expect((await ask({ headers: fit.headers }, particular)).answer.status).toBe(200);
      for (const fields of [{ scopes: ['chat'] }, { scopes: ['chat:write'], allowed_models: ['claude-*'] }]) {
        const { headers } = await newKey(fields);
        const path = '/?scope=chat&model=claude-3';
        const { answer, seen } = await ask({ headers, path }, particular);
        expect([answer.status, seen]).toEqual([403, []]);
      }
    });

    it('no path and no method leads past it', async () => {
      const paths = [
        '/',
        '//',
        '/_latchkey',
        '//_latchkey',
        '/a/../_latchkey',
        '/%2e%2e/',
        '/a%2fb',
        '/?key=x',
      ];
      for (const path of [...paths, '/api/v1/forward-auth', '/health/live']) {
        for (const method of ['GET', 'HEAD', 'OPTIONS', 'POST', 'DELETE', 'PURGE']) {
          const { answer, seen } = await ask({ method, path, headers: { ...FORGED, ...CLAIMED_ADDRESS } });
          expect([method, path, answer.status, seen]).toEqual([
            method,
            path,
            expect.toBeOneOf([400, 401, 404, 405]),
            [],
          ]);
        }
      }
    });

    it('nobody passes while Latchkey cannot judge: without its database, stopped, or ended', async () => {
      const { headers } = await newKey();
      const expectNotPassed = async (presented: Record<string, string>, ...statuses: number[]) => {
        const { answer, seen } = await ask({ headers: presented });
        expect([answer.status, seen]).toEqual([expect.toBeOneOf(statuses), []]);
        return answer;
      };
      proxy.refuse();
      const cold = { 'X-API-Key': newSecret() };
      expect(Number((await expectNotPassed(cold, 503)).headers['retry-after'])).toBeGreaterThan(0);
      await proxy.pass();
      await expect.poll(async () => (await ask({ headers })).answer.status, { timeout: 10_000 }).toBe(200);

      latchkey.signal('SIGSTOP');
      await expectNotPassed(headers, 502, 503, 504);
      latchkey.signal('SIGCONT');
      await expect.poll(async () => (await ask({ headers })).answer.status, { timeout: 10_000 }).toBe(200);

      await latchkey.kill9();
      await expectNotPassed(headers, 502, 503);
      await expectNotPassed(FORGED, 502, 503);
      await expectNotPassed({ Authorization: `Bearer ${headers['X-API-Key']}` }, 502, 503);
      expect(gateway.output).not.toBe('');
      expect(gateway.output).not.toContain(headers['X-API-Key']);
    });
  });
}
