import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  BackgroundPool,
  ControlPool,
  DataPlanePool,
  FeedPool,
  MeteringPool,
} from '../../src/database/pools.js';
import { createTestDatabase, type TestDatabase } from '../support/database.js';
import { TcpProxy } from '../support/tcp-proxy.js';
import { TestApp } from '../support/test-app.js';

describe('a connection that is lost ends no process', () => {
  let database: TestDatabase;
  let proxy: TcpProxy;
  let app: TestApp;
  const unheard: unknown[] = [];
  const note = (error: unknown) => void unheard.push(error);
  beforeAll(async () => {
    process.on('uncaughtException', note);
    database = await createTestDatabase();
    proxy = await TcpProxy.start(database.url);
    app = await TestApp.start({ database, environment: { DATABASE_URL: proxy.urlOf(database.url) } });
  });
  afterAll(async () => {
    await app.stop();
    process.off('uncaughtException', note);
    proxy.stop();
    await database.drop();
  });

  const pools = [BackgroundPool, ControlPool, DataPlanePool, FeedPool, MeteringPool];
  it.each(pools.map((token) => ({ name: token.name, token })))(
    'neither while somebody holds it who does not listen, nor while it works: $name',
    async ({ token }) => {
      const pool = app.app.get(token);
      for (const isBusy of [false, true]) {
        const client = await pool.connect();
        const outcome = isBusy ? client.query('SELECT pg_sleep(60)').catch(String) : undefined;
        // Not `once` of node:events, which listens for errors as well.
        const ended = new Promise<void>((resolve) => client.once('end', resolve));
        proxy.cut();
        await ended;
        if (isBusy) expect(await outcome).toMatch(/Error/);
        client.release(true);
      }
      expect(unheard).toEqual([]);
      // The next one is another.
      await expect.poll(async () => (await pool.query('SELECT 1')).rowCount).toBe(1);
    },
  );
});
