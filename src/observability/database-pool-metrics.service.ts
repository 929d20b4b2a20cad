import { Injectable } from '@nestjs/common';
import type { Pool } from 'pg';
import {
  AuthorityPool,
  BackgroundPool,
  ControlPool,
  DataPlanePool,
  FeedPool,
  MeteringPool,
  ReportPool,
} from '../database/pools.js';
import { Metrics } from './metrics.service.js';

/** How busy each pool of connections to PostgreSQL is, read when it is asked for. */
@Injectable()
export class DatabasePoolMetrics {
  constructor(
    metrics: Metrics,
    control: ControlPool,
    authority: AuthorityPool,
    dataPlane: DataPlanePool,
    metering: MeteringPool,
    feed: FeedPool,
    background: BackgroundPool,
    reports: ReportPool,
  ) {
    const pools = { control, authority, data_plane: dataPlane, metering, feed, background, reports };
    const measure = (name: string, help: string, read: (pool: Pool) => number) =>
      metrics.gauge({
        name,
        help,
        labelNames: ['pool'],
        collect() {
          for (const [pool, connections] of Object.entries(pools)) this.set({ pool }, read(connections));
        },
      });
    measure(
      'latchkey_db_pool_connections',
      'Open connections, idle ones included.',
      (pool) => pool.totalCount,
    );
    measure(
      'latchkey_db_pool_idle_connections',
      'Open connections that are not in use.',
      (pool) => pool.idleCount,
    );
    measure(
      'latchkey_db_pool_waiting_callers',
      'Callers that wait for a connection. Above zero for long, the pool is too small or the database too slow.',
      (pool) => pool.waitingCount,
    );
  }
}
