import { Logger } from '@nestjs/common';
import pg from 'pg';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { Config } from '../../src/config/config.js';
import { backgroundPoolOptions } from '../../src/database/connection-options.js';
import { DatabaseServer } from '../../src/database/database-server.js';
import { Maintenance } from '../../src/jobs/maintenance.service.js';
import { Metrics } from '../../src/observability/metrics.service.js';
import { InstanceRegistry } from '../../src/rate-limits/instance-registry.service.js';
import { createTestDatabase, type TestDatabase } from '../support/database.js';

describe('the count of instances', () => {
  let database: TestDatabase;
  let pool: pg.Pool;
  let warnings: string[];
  beforeEach(async () => {
    database = await createTestDatabase();
    pool = new pg.Pool(backgroundPoolOptions(new DatabaseServer(database.url)));
    // A pool that has ended may hear of the end of its database.
    pool.on('error', () => undefined);
    warnings = [];
    vi.spyOn(Logger.prototype, 'warn').mockImplementation((message: string) => void warnings.push(message));
  });
  afterEach(async () => {
    vi.restoreAllMocks();
    await pool.end();
    await database.drop();
  });

  async function start(
    redisUrl?: unknown,
    maintenance: Maintenance = new Maintenance(pool),
  ): Promise<InstanceRegistry> {
    const config = { redisUrl } as Config;
    const registry = new InstanceRegistry(config, pool, maintenance, new Metrics());
    await registry.onModuleInit();
    return registry;
  }

  it('knows who comes and who stops', async () => {
    const first = await start();
    expect(first.count).toBe(1);
    const second = await start();
    await first.beat();
    expect([first.count, second.count]).toEqual([2, 2]);
    await second.onApplicationShutdown();
    await first.beat();
    expect(first.count).toBe(1);
    await first.onApplicationShutdown();
  });

  it('forgets an instance that was killed', async () => {
    const first = await start();
    const killed = await start();
    await database.query(`UPDATE instances SET seen_at = now() - interval '15 seconds'`);
    await first.beat();
    expect(first.count).toBe(1);
    await first.onApplicationShutdown();
    await killed.onApplicationShutdown();
  });

  it('warns, once, of a second instance without Redis', async () => {
    const first = await start();
    const second = await start();
    expect(warnings).toEqual([]);
    await first.beat();
    await first.beat();
    expect(warnings).toHaveLength(1);
    expect(warnings[0]).toContain('REDIS_URL');
    await first.onApplicationShutdown();
    await second.onApplicationShutdown();
  });

  it('does not take the instance that this one replaces for a second one', async () => {
    await database.query(
      `INSERT INTO instances VALUES (gen_random_uuid(), now() - interval '1 hour', now() - interval '1 second')`,
    );
    const restarted = await start();
    await restarted.beat();
    expect(restarted.count).toBe(2);
    expect(warnings).toEqual([]);
    await restarted.onApplicationShutdown();
  });

  it('takes several instances with Redis for meant', async () => {
    const first = await start('redis');
    const second = await start('redis');
    await first.beat();
    expect(first.count).toBe(2);
    expect(warnings).toEqual([]);
    await first.onApplicationShutdown();
    await second.onApplicationShutdown();
  });

  it('keeps the rows of instances for two hours after they were last seen', async () => {
    const maintenance = new Maintenance(pool);
    const here = await start(undefined, maintenance);
    await database.query(
      `INSERT INTO instances SELECT gen_random_uuid(), now() - interval '1 day', now() - minutes * interval '1 minute'
       FROM unnest(ARRAY[90, 150]) AS minutes`,
    );
    await maintenance.runNow('forget-instances');
    const left = await database.query<{ age: string }>(
      `SELECT round(extract(epoch FROM now() - seen_at) / 1800) AS age FROM instances ORDER BY seen_at`,
    );
    expect(left.map(({ age }) => Number(age))).toEqual([3, 0]);
    await here.onApplicationShutdown();
  });

  it('stays what it was while PostgreSQL is away', async () => {
    const first = await start();
    const second = await start();
    await first.beat();
    await database.query('ALTER TABLE instances RENAME TO away');
    await first.beat();
    expect(first.count).toBe(2);
    await database.query('ALTER TABLE away RENAME TO instances');
    await first.onApplicationShutdown();
    await second.onApplicationShutdown();
  });
});
