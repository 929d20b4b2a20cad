import { afterAll, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import type { ApiAnswer, ApiClient } from '../support/api-client.js';
import { AppProcess } from '../support/app-process.js';
import { createTestDatabase, type TestDatabase } from '../support/database.js';
import { Load } from '../support/load.js';
import { TcpProxy } from '../support/tcp-proxy.js';
import { ADMIN, testEnvironment } from '../support/test-app.js';

/** No call may keep its caller waiting longer, whatever PostgreSQL does: two statements that are given up. */
const LONGEST_ANSWER_MS = 8_000;
const RECOVERY_MS = 5_000;

describe('R6: PostgreSQL may fail in any way', () => {
  let database: TestDatabase;
  let proxy: TcpProxy;
  let app: AppProcess;
  let token: string;
  let admin: ApiClient;
  let apiKey: { id: number; secret: string };

  beforeAll(async () => {
    database = await createTestDatabase();
    proxy = await TcpProxy.start(database.url);
    app = await AppProcess.start({ ...testEnvironment(proxy.urlOf(database.url)), LOG_LEVEL: 'info' });
    token = await app.accessToken();
    admin = app.anonymous.withAccessToken(token);
    const { body } = await admin.post('/api-keys', { name: 'known', scopes: ['platform:*'] });
    apiKey = { id: body['api_key'].id, secret: body['secret_key'] };
  });
  beforeEach(() => proxy.pass());
  afterAll(async () => {
    await app.kill9();
    proxy.stop();
    await database.drop();
  });

  /** Calls of every kind of the control plane, each with a credential that is good. */
  function calls(): Promise<ApiAnswer>[] {
    return [
      admin.get('/auth/me'),
      admin.get('/api-keys'),
      admin.get(`/api-keys/${apiKey.id}`),
      admin.get(`/api-keys/${apiKey.id}/usage`),
      admin.post('/api-keys', { name: 'perhaps' }),
      admin.put(`/api-keys/${apiKey.id}`, { description: 'perhaps' }),
      admin.get('/users'),
      admin.get('/audit-logs'),
      admin.get('/audit-logs', { accept: 'application/x-ndjson' }),
      app.anonymous.post('/auth/login', ADMIN),
      app.anonymous.post('/auth/refresh', { refresh_token: `rt_${'a'.repeat(43)}` }),
    ];
  }

  /** An API key is looked up with the haste of the data plane, which a machine with much else to do may not keep up with. */
  function callsByKey(): Promise<ApiAnswer>[] {
    const byKey = app.anonymous.withApiKey(apiKey.secret);
    return [byKey.get('/auth/me'), byKey.get('/api-keys')];
  }

  async function expectUnavailable(): Promise<void> {
    const startedAt = performance.now();
    const [answers, readiness, liveness] = await Promise.all([
      Promise.all([...calls(), ...callsByKey()]),
      app.anonymous.get('//health/ready'),
      app.anonymous.get('//health/live'),
    ]);
    expect(performance.now() - startedAt).toBeLessThan(LONGEST_ANSWER_MS);
    expect(answers.map(({ status, body }) => [status, body['code']])).toEqual(
      answers.map(() => [503, 'service.unavailable']),
    );
    for (const { headers } of answers) {
      expect(headers.get('content-type')).toMatch(/^application\/problem\+json/);
      expect(headers.get('retry-after')).toBe('1');
    }
    expect(readiness.status).toBe(503);
    expect(liveness.status).toBe(200);
  }

  /** Once it is healed the service is ready again, and from then on nothing fails because of what was. */
  async function expectRecovery(): Promise<void> {
    const healedAt = performance.now();
    await proxy.pass();
    await vi.waitUntil(async () => (await app.anonymous.get('//health/ready')).status === 200, {
      timeout: 20_000,
      interval: 20,
    });
    expect(performance.now() - healedAt).toBeLessThan(RECOVERY_MS);
    for (let round = 0; round < 4; round += 1) {
      const statuses = (await Promise.all(calls())).map(({ status }) => status);
      // The refresh token was never one.
      expect(statuses).toEqual([200, 200, 200, 200, 201, 200, 200, 200, 200, 200, 401]);
    }
    const seen = new Set<number>();
    await vi.waitUntil(
      async () => {
        const statuses = (await Promise.all(callsByKey())).map(({ status }) => status);
        for (const status of statuses) seen.add(status);
        return statuses.every((status) => status === 200);
      },
      { timeout: 20_000, interval: 20 },
    );
    expect([...seen].filter((status) => status !== 200 && status !== 503)).toEqual([]);
  }

  it('refuse: every call is answered 503, and all is well when it is back', async () => {
    proxy.refuse();
    await expectUnavailable();
    await expectUnavailable();
    await expectRecovery();
  });

  it('be a black hole: every call is answered 503 in time, and no later one meets a hung connection', async () => {
    // Connections of both pools, in use a moment ago, are what the hole swallows.
    await Promise.all(calls());
    proxy.blackHole();
    await expectUnavailable();
    await expectUnavailable();
    await expectRecovery();
  });

  it('be a black hole for ever: connections that hang are given up, also those that a transaction used', async () => {
    // These calls open a transaction first, on a connection that would go back to the pool unharmed.
    const refreshAll = async () => {
      const body = { refresh_token: `rt_${'b'.repeat(43)}` };
      const all = Array.from({ length: 20 }, () => app.anonymous.post('/auth/refresh', body));
      return new Set((await Promise.all(all)).map(({ status }) => status));
    };
    expect(await refreshAll()).toEqual(new Set([401]));
    proxy.blackHole();
    expect(await refreshAll()).toEqual(new Set([503]));
    await proxy.passNewConnections();
    expect(await refreshAll()).toEqual(new Set([401]));
    await expectRecovery();
  });

  it('drop every connection at once: no call that begins afterwards fails', async () => {
    await Promise.all(calls());
    proxy.cut();
    await expectRecovery();
  });

  it('be slow: calls wait, and are answered', async () => {
    proxy.delay(40);
    const statuses = (await Promise.all(calls())).map(({ status }) => status);
    expect(statuses.filter((status) => status >= 500)).toEqual([]);
    expect((await Promise.all(callsByKey())).filter(({ status }) => status === 401)).toEqual([]);
    await expectRecovery();
  });

  it('do all of it under load: a good credential is never answered 401, and nothing 500', async () => {
    const load = new Load(
      app.baseUrl,
      { authorization: `Bearer ${token}` },
      12,
      (client, turn) =>
        (client + turn) % 3 === 0
          ? { method: 'POST', path: '/api/v1/api-keys', body: { name: 'in a storm' } }
          : { method: 'GET', path: `/api/v1/api-keys/${apiKey.id}` },
      () => false,
    );
    for (const fail of [
      () => proxy.cut(),
      () => proxy.refuse(),
      () => proxy.blackHole(),
      () => proxy.cut(),
    ]) {
      const before = load.outcomes.length;
      fail();
      await vi.waitUntil(() => load.outcomes.length > before + 24, { timeout: 20_000, interval: 5 });
      await proxy.pass();
      const healed = load.outcomes.length;
      const isWell = () => load.outcomes.slice(healed).filter(({ status }) => status === 200).length > 12;
      await vi.waitUntil(isWell, { timeout: 20_000, interval: 5 });
    }
    await load.stop();
    expect(Object.keys(load.summary()).toSorted()).toEqual(['200', '201', '503']);

    // A key whose creation was answered can be found; one without an answer may have been created as well.
    const acknowledged = load.summary()['201'] ?? 0;
    const kept = await database.query(`SELECT FROM api_keys WHERE name = 'in a storm'`);
    expect(kept.length).toBeGreaterThanOrEqual(acknowledged);
    await expectRecovery();
  });

  it('never made the service restart, nor say more of it than an operator needs', () => {
    expect(app.stderr).toBe('');
    expect(app.logLines().filter(({ level }) => level === 'error' || level === 'fatal')).toEqual([]);
  });
});
