import pg from 'pg';
import { afterAll, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { AppProcess } from '../support/app-process.js';
import { createTestDatabase, type TestDatabase } from '../support/database.js';
import { Load } from '../support/load.js';
import { TcpProxy } from '../support/tcp-proxy.js';
import { testEnvironment } from '../support/test-app.js';

const STOP_MS = 15_000;
const CLIENTS = 32;

describe('R7: a clean stop', () => {
  let database: TestDatabase;
  let proxy: TcpProxy;
  let app: AppProcess;

  beforeAll(async () => {
    database = await createTestDatabase();
    proxy = await TcpProxy.start(database.url);
  });
  beforeEach(async () => {
    await proxy.pass();
    app = await AppProcess.start({
      ...testEnvironment(proxy.urlOf(database.url)),
      SHUTDOWN_TIMEOUT_SECONDS: '5',
    });
  });
  afterAll(async () => {
    proxy.stop();
    await database.drop();
  });

  it('fails no request of busy keep-alive clients on SIGTERM, and ends with 0', async () => {
    const load = await busyClients(app);
    await vi.waitUntil(() => load.outcomes.length > CLIENTS * 3, { timeout: 20_000 });
    const toldAt = performance.now();
    const exit = await app.stop();
    await load.over();

    expect(exit).toBe(0);
    expect(performance.now() - toldAt).toBeLessThan(STOP_MS);
    const { refused, ...answered } = load.summary();
    // A client leaves when it is refused a new connection: the listener was closed by then.
    expect(refused).toBe(CLIENTS);
    expect(Object.keys(answered).toSorted()).toEqual(['200', '201']);
    const created = load.outcomes.filter(({ status }) => status === 201).length;
    const [{ kept } = { kept: 0 }] = await database.query<{ kept: number }>(
      `SELECT count(*)::int AS kept FROM api_keys WHERE name = 'made under load'`,
    );
    expect(kept).toBe(created);
  });

  it('says that it is not ready, yet answers, while requests are under way', async () => {
    const admin = await app.admin();
    const created = await admin.post('/api-keys', { name: 'locked' });
    const id = Number(created.body['api_key'].id);
    const lock = await holdLock(database, id);
    const waiting = admin.post(`/api-keys/${id}/deactivate`);
    await lock.isWaitedFor();
    const probes = new Load(app.baseUrl, {}, 1, () => ({ method: 'GET', path: '/health/ready' }));
    await vi.waitUntil(() => '200' in probes.summary(), { timeout: 5_000, interval: 5 });
    const stopped = app.stop();
    await vi.waitUntil(() => '503' in probes.summary(), { timeout: 5_000, interval: 5 });
    await lock.release();

    expect((await waiting).status).toBe(200);
    expect(await stopped).toBe(0);
    await probes.over();
    const statuses = probes.outcomes.map(({ status }) => status);
    expect(statuses.slice(statuses.indexOf(503), -1).every((status) => status === 503)).toBe(true);
  });

  it('serves on for SHUTDOWN_DRAIN_SECONDS while readiness says no, so that balancers fail no request', async () => {
    await app.stop();
    app = await AppProcess.start({
      ...testEnvironment(proxy.urlOf(database.url)),
      SHUTDOWN_DRAIN_SECONDS: '2',
    });
    const url = app.baseUrl;
    const stopped = app.stop();
    await vi.waitUntil(async () => (await fetch(`${url}/health/ready`)).status === 503, { timeout: 20_000 });
    // A connection of its own: a new one is accepted, and its answer does not tell the client to leave.
    const answer = await fetch(`${url}/health/live`);
    expect([answer.status, answer.headers.get('connection')]).toEqual([200, 'keep-alive']);
    expect(await stopped).toBe(0);
  });

  it('takes two SIGINTs of one Ctrl-C for one', async () => {
    const load = await busyClients(app);
    await vi.waitUntil(() => load.outcomes.length > CLIENTS, { timeout: 20_000 });
    app.signal('SIGINT');
    app.signal('SIGINT');
    await load.over();

    expect(await app.exit).toBe(0);
    expect(Object.keys(load.summary()).toSorted()).toEqual(['200', '201', 'refused']);
  });

  it('ends in time with 0 while PostgreSQL is a black hole', async () => {
    const admin = await app.admin();
    proxy.blackHole();
    const hung = admin.post('/api-keys', { name: 'never made' });
    const toldAt = performance.now();

    expect(await app.stop()).toBe(0);
    expect(performance.now() - toldAt).toBeLessThan(STOP_MS);
    expect((await hung).status).toBe(503);
  });

  it('closes connections that a client only holds open', async () => {
    const silent = await fetch(`${app.baseUrl}/health/live`, { headers: { connection: 'keep-alive' } });
    await silent.text();

    expect(await app.stop()).toBe(0);
  });
});

async function busyClients(app: AppProcess): Promise<Load> {
  const headers = { authorization: `Bearer ${await app.accessToken()}` };
  return new Load(app.baseUrl, headers, CLIENTS, (client, turn) =>
    (client + turn) % 3 === 0
      ? { method: 'POST', path: '/api/v1/api-keys', body: { name: 'made under load' } }
      : { method: 'GET', path: '/api/v1/api-keys' },
  );
}

/** Locks a key's row, so that changes of it have to wait. */
async function holdLock(database: TestDatabase, apiKeyId: number) {
  const client = new pg.Client({ connectionString: database.url });
  client.on('error', () => undefined);
  await client.connect();
  await client.query('BEGIN');
  await client.query('SELECT FROM api_keys WHERE id = $1 FOR UPDATE', [apiKeyId]);
  return {
    isWaitedFor: () =>
      vi.waitUntil(
        async () =>
          (
            await database.query(
              `SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()`,
            )
          ).length > 0,
        { timeout: 5_000, interval: 5 },
      ),
    release: () => client.end(),
  };
}
