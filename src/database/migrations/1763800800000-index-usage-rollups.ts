import type { MigrationInterface, QueryRunner } from 'typeorm';

/**
 * Finds the rollups of a span over all keys. The hour alone: an index that held sums as well would have to change
 * with every event, and updates of rollups would no longer be heap-only.
 */
export class IndexUsageRollups1763800800000 implements MigrationInterface {
  readonly name = 'IndexUsageRollups1763800800000';

  async up(runner: QueryRunner): Promise<void> {
    await runner.query('CREATE INDEX usage_hourly_rollups_hour_idx ON usage_hourly_rollups (hour)');
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('DROP INDEX usage_hourly_rollups_hour_idx');
  }
}
