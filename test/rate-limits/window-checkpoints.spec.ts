import pg from 'pg';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { Clock } from '../../src/common/clock.js';
import type { Config } from '../../src/config/config.js';
import { backgroundPoolOptions } from '../../src/database/connection-options.js';
import { DatabaseServer } from '../../src/database/database-server.js';
import { Maintenance } from '../../src/jobs/maintenance.service.js';
import { Metrics } from '../../src/observability/metrics.service.js';
import { MemoryRateLimiter } from '../../src/rate-limits/memory-rate-limiter.service.js';
import { RateLimiter } from '../../src/rate-limits/rate-limiter.js';
import { WINDOW_WORDS } from '../../src/rate-limits/window-rings.policy.js';
import { WindowCheckpoints } from '../../src/rate-limits/window-checkpoints.service.js';
import { createTestDatabase, type TestDatabase } from '../support/database.js';
import { TestApp } from '../support/test-app.js';

const NOW = Date.now();
const POLICY = { perMinute: 100, perHour: 1_000, perDay: null };

interface Instance {
  readonly limiter: MemoryRateLimiter;
  readonly checkpoints: WindowCheckpoints;
  readonly maintenance: Maintenance;
}

describe('rate windows over a restart', () => {
  let database: TestDatabase;
  let pool: pg.Pool;
  beforeEach(async () => {
    database = await createTestDatabase();
    pool = new pg.Pool(backgroundPoolOptions(new DatabaseServer(database.url)));
    // A pool that has ended may hear of the end of its database.
    pool.on('error', () => undefined);
  });
  afterEach(async () => {
    vi.useRealTimers();
    await pool.end();
    await database.drop();
  });

  /** An instance that has just started; one that is simply no longer used was killed. */
  async function start(redisUrl?: unknown): Promise<Instance> {
    const limiter = new MemoryRateLimiter(new Metrics());
    const maintenance = new Maintenance(pool);
    const config = { redisUrl } as Config;
    const checkpoints = new WindowCheckpoints(config, pool, limiter, new Clock(), maintenance);
    await checkpoints.onModuleInit();
    return { limiter, checkpoints, maintenance };
  }

  it('lose nothing in a clean stop', async () => {
    const first = await start();
    for (let id = 1; id <= 2_500; id++) first.limiter.consume(id, POLICY, 1 + (id % 50), NOW);
    await first.checkpoints.onApplicationShutdown();
    const second = await start();
    expect(second.limiter.table.size).toBe(2_500);
    for (let id = 1; id <= 2_500; id++) {
      const remaining = second.limiter.consume(id, POLICY, 0, NOW).windows.map((state) => state.remaining);
      expect(remaining).toEqual([99 - (id % 50), 999 - (id % 50)]);
    }
  });

  it('lose only what was consumed since the last save when the process is killed', async () => {
    const first = await start();
    first.limiter.consume(1, POLICY, 60, NOW);
    await first.checkpoints.save();
    first.limiter.consume(1, POLICY, 5, NOW);
    const second = await start();
    expect(second.limiter.consume(1, POLICY, 41, NOW).allowed).toBe(false);
    expect(second.limiter.consume(1, POLICY, 40, NOW).allowed).toBe(true);
  });

  it('are saved every few seconds without being asked', async () => {
    const first = await start();
    vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] });
    first.checkpoints.onApplicationBootstrap();
    first.limiter.consume(1, POLICY, 60, NOW);
    vi.advanceTimersByTime(5_000);
    vi.useRealTimers();
    await vi.waitFor(
      async () =>
        expect(await database.query('SELECT FROM rate_windows WHERE api_key_id = 1')).toHaveLength(1),
      { timeout: 10_000 },
    );
    await first.checkpoints.onApplicationShutdown();
  });

  it('are saved next time when the database could not save them', async () => {
    const first = await start();
    for (let id = 1; id <= 1_500; id++) first.limiter.consume(id, POLICY, 7, NOW);
    await database.query('ALTER TABLE rate_windows RENAME TO away');
    await expect(first.checkpoints.save()).rejects.toThrow('rate_windows');
    await database.query('ALTER TABLE away RENAME TO rate_windows');
    await first.checkpoints.save();
    const { limiter } = await start();
    expect(limiter.table.size).toBe(1_500);
    expect(limiter.consume(1_500, POLICY, 0, NOW).windows[0]?.remaining).toBe(93);
  });

  it('are saved as they are at the end, however often they were saved before', async () => {
    const first = await start();
    for (let round = 0; round < 5; round++) {
      first.limiter.consume(1, POLICY, 10, NOW + round * 7_000);
      await first.checkpoints.save();
    }
    const second = await start();
    const [minute] = second.limiter.consume(1, POLICY, 0, NOW + 5 * 7_000).windows;
    const [same] = first.limiter.consume(1, POLICY, 0, NOW + 5 * 7_000).windows;
    expect(minute).toEqual(same);
    expect(minute?.remaining).toBe(50);
  });

  it('are read back in full when there are more than one read holds', async () => {
    await database.query(
      `INSERT INTO rate_windows SELECT id, decode(repeat('00', $1), 'hex'), now() + interval '1 day'
       FROM generate_series(1, 25000) AS id`,
      [WINDOW_WORDS * 4],
    );
    const { limiter } = await start();
    expect(limiter.table.size).toBe(25_000);
  });

  it('leave the database two hours after they are of use for the last time', async () => {
    const { limiter, checkpoints, maintenance } = await start();
    const threeHoursAgo = NOW - 3 * 3_600_000;
    limiter.consume(1, { ...POLICY, perHour: null }, 1, threeHoursAgo);
    limiter.consume(2, { perMinute: null, perHour: null, perDay: 10 }, 1, threeHoursAgo);
    limiter.consume(3, { ...POLICY, perHour: null }, 1, NOW - 1.5 * 3_600_000);
    await checkpoints.save();
    await maintenance.runNow('expire-rate-windows');
    const left = await database.query<{ id: string }>(
      'SELECT api_key_id AS id FROM rate_windows ORDER BY id',
    );
    expect(left.map(({ id }) => Number(id))).toEqual([2, 3]);
  });

  it('are not kept in PostgreSQL by an instance that has Redis', async () => {
    const { limiter, checkpoints } = await start('redis');
    limiter.consume(1, POLICY, 1, NOW);
    await checkpoints.onApplicationShutdown();
    expect(await database.query('SELECT FROM rate_windows')).toEqual([]);
  });

  it('survive a restart of the whole service', async () => {
    const before = await TestApp.start({ database });
    const limiter = before.app.get(RateLimiter, { strict: false });
    await limiter.consume(7, POLICY, 64, before.clock.now().getTime());
    await before.stop();
    const after = await TestApp.start({ database });
    const outcome = await after.app
      .get(RateLimiter, { strict: false })
      .consume(7, POLICY, 0, after.clock.now().getTime());
    expect(outcome.windows.map(({ remaining }) => remaining)).toEqual([36, 936]);
    await after.stop();
  });
});
