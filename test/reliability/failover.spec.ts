import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { DatabaseServer } from '../../src/database/database-server.js';
import { ControlPool } from '../../src/database/pools.js';
import { migrate } from '../../src/database/migrate.js';
import { AppProcess } from '../support/app-process.js';
import type { TestDatabase } from '../support/database.js';
import { ReplicatedServers } from '../support/replicated-servers.js';
import { TcpProxy } from '../support/tcp-proxy.js';
import { TestApp, testEnvironment } from '../support/test-app.js';

const BOUND_MS = 5_000;
const PATIENCE = { timeout: 60_000, interval: 20 };

describe('R11: a database that was failed over, or lags, is never trusted', () => {
  let servers: ReplicatedServers;
  /** An address that is moved to the new primary, and one for each server. */
  let moved: TcpProxy;
  let fixed: TcpProxy[];
  let apps: { name: string; app: TestApp; known: { id: number; secret: string } }[];

  beforeAll(async () => {
    servers = await ReplicatedServers.start((url) => migrate(url));
    const { primary, standby } = servers;
    moved = await TcpProxy.start(primary.url);
    fixed = [await TcpProxy.start(standby.url), await TcpProxy.start(primary.url)];
    const hosts = fixed.map(({ port }) => `127.0.0.1:${port}`).join(',');
    apps = [];
    for (const [name, url] of [
      ['an address that is moved', moved.urlOf(primary.url)],
      [
        'the addresses of both servers',
        `postgresql://postgres@${hosts}/latchkey?sslmode=disable&target_session_attrs=read-write`,
      ],
    ] as const) {
      const app = await TestApp.start({ database: databaseOf(url), environment: { DATABASE_URL: url } });
      apps.push({ name, app, known: await app.apiKey(app.admin, { name }) });
    }
    await servers.caughtUp();
  });
  afterAll(async () => {
    // Whatever failed before, no server is left running.
    await Promise.allSettled(apps.map(({ app }) => app.stop()));
    for (const proxy of [moved, ...fixed]) proxy.stop();
    await servers.end();
  });

  function databaseOf(url: string): TestDatabase {
    const { query } = servers.primary;
    return { url, name: 'latchkey', query, drop: async () => undefined };
  }

  async function verdicts(): Promise<string[]> {
    return Promise.all(
      apps.map(async ({ app, known }) => {
        const { status, body } = await app.admin.post('/api-keys/verify', { key: known.secret });
        return String(status === 200 ? body['code'] : status);
      }),
    );
  }

  /** The statuses of one change through each instance. */
  async function changes(): Promise<number[]> {
    return Promise.all(
      apps.map(async ({ app, known }) => {
        const { status } = await app.admin.put(`/api-keys/${known.id}`, { description: 'changed after all' });
        return status;
      }),
    );
  }

  async function readiness(): Promise<{ status: number; detail: unknown }[]> {
    return Promise.all(
      apps.map(async ({ app }) => {
        const { status, body } = await app.anonymous.get('//health/ready');
        return { status, detail: body['detail'] };
      }),
    );
  }

  async function sessionsOn(server: { query: TestDatabase['query'] }): Promise<number> {
    const [row] = await server.query<{ sessions: number }>(
      `SELECT count(*)::int AS sessions FROM pg_stat_activity
       WHERE backend_type = 'client backend' AND application_name ~ '^latchkey'
         AND application_name <> 'latchkey-probe'`,
    );
    return row?.sessions ?? -1;
  }

  it('a standby is refused at the start, with a sentence that says so', async () => {
    await expect(migrate(servers.standby.url)).rejects.toThrow(/takes no changes: it is a standby/);
    const url = fixed[0]!.urlOf(servers.standby.url);
    const app = await AppProcess.launch(testEnvironment(url));
    expect(await app.exit).toBe(1);
    const sentences = app.logLines().filter(({ level }) => level === 'fatal');
    expect(sentences.map(({ msg }) => msg)).toEqual([
      expect.stringMatching(/ takes no changes \(DATABASE_URL\): .*\.$/),
    ]);
  });

  it('of several hosts the first that takes changes is used, and no other', async () => {
    expect(await sessionsOn(servers.standby)).toBe(0);
    expect(await verdicts()).toEqual(['VALID', 'VALID']);
    // Those that do not answer, or do not exist, are passed over.
    const url = `postgresql://postgres@127.0.0.1:1,no-such-host.invalid:2,127.0.0.1:${fixed[0]!.port},127.0.0.1:${fixed[1]!.port}/latchkey`;
    expect(await new DatabaseServer(url).address()).toEqual({ host: '127.0.0.1', port: fixed[1]!.port });
  });

  it('a primary that turns read-only and keeps its connections is left: not ready, and 503 when five seconds are over', async () => {
    await servers.standby.query('SELECT pg_wal_replay_pause()');
    await servers.primary.query('ALTER SYSTEM SET default_transaction_read_only = on');
    await servers.primary.query('SELECT pg_reload_conf()');
    const turnedAt = performance.now();
    await vi.waitUntil(async () => (await readiness()).every(({ status }) => status === 503), PATIENCE);
    // New connections of the first now reach a standby that no longer follows.
    moved.leadTo(servers.standby.url);
    for (;;) {
      const askedAt = performance.now();
      const answers = await verdicts();
      if (answers.every((answer) => answer === '503')) break;
      expect(askedAt - turnedAt, `answered ${answers.join()}`).toBeLessThan(BOUND_MS + 1_000);
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    for (const { status } of await readiness()) expect(status).toBe(503);
    await expect.poll(() => sessionsOn(servers.primary), { timeout: 10_000 }).toBe(0);
  });

  it('after the promotion of the standby changes work there within five seconds, and what was revoked there is revoked', async () => {
    await servers.standby.query('SELECT pg_wal_replay_resume()');
    await servers.standby.query('SELECT pg_promote()');
    const promotedAt = performance.now();
    for (;;) {
      const askedAt = performance.now();
      const statuses = await changes();
      if (statuses.every((status) => status === 200)) break;
      expect(askedAt - promotedAt, `changes answered ${statuses.join()}`).toBeLessThan(BOUND_MS);
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    await servers.standby.query('UPDATE api_keys SET is_active = false');
    await vi.waitUntil(async () => (await verdicts()).every((verdict) => verdict === 'DISABLED'), PATIENCE);
    await vi.waitUntil(async () => (await readiness()).every(({ status }) => status === 200), PATIENCE);
    expect(await sessionsOn(servers.primary)).toBe(0);
  });

  it('a statement that is refused as read-only closes the connections, so that the next one looks again', async () => {
    const { app } = apps[0]!;
    const pool = app.app.get(ControlPool);
    const all = () => Promise.all(Array.from({ length: 10 }, () => pool.connect()));
    for (const client of await all()) {
      await client.query('SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY');
      client.release();
    }
    const make = async () => (await app.admin.post('/api-keys', { name: 'made in the end' })).status;
    await vi.waitUntil(async () => (await make()) === 201, PATIENCE);
    for (const client of await all()) {
      const { rows } = await client.query('SHOW transaction_read_only');
      client.release();
      expect(rows).toEqual([{ transaction_read_only: 'off' }]);
    }
  });
});
