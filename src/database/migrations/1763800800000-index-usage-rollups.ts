import type { MigrationInterface, QueryRunner } from 'typeorm';

/**
 * Finds the rollups of a span over all keys. The hour alone: an index that held sums as well would have to change
 * with every event, and updates of rollups would no longer be heap-only. For the same reason pages are left with room
 * for the next version of their rows: nearly all updates stay on their page, and no index is touched.
 */
export class IndexUsageRollups1763800800000 implements MigrationInterface {
  readonly name = 'IndexUsageRollups1763800800000';

  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      CREATE INDEX usage_hourly_rollups_hour_idx ON usage_hourly_rollups (hour);
      ALTER TABLE usage_hourly_rollups SET (fillfactor = 60);
      ALTER TABLE api_key_totals SET (fillfactor = 60);
    `);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query(`
      ALTER TABLE api_key_totals RESET (fillfactor);
      ALTER TABLE usage_hourly_rollups RESET (fillfactor);
      DROP INDEX usage_hourly_rollups_hour_idx;
    `);
  }
}
