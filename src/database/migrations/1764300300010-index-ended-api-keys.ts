import type { MigrationInterface, QueryRunner } from 'typeorm';

/** Finds the keys of a user that have ended: their usage counts in the sums of the user. */
export class IndexEndedApiKeys1764300300010 implements MigrationInterface {
  readonly name = 'IndexEndedApiKeys1764300300010';
  readonly transaction = false;

  async up(runner: QueryRunner): Promise<void> {
    await runner.query('DROP INDEX CONCURRENTLY IF EXISTS api_keys_ended_idx');
    await runner.query(
      'CREATE INDEX CONCURRENTLY api_keys_ended_idx ON api_keys (user_id, id) WHERE deleted_at IS NOT NULL',
    );
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('DROP INDEX api_keys_ended_idx');
  }
}
