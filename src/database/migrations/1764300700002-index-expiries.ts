import type { MigrationInterface, QueryRunner } from 'typeorm';

/** Lists of keys by their expiry, of everyone and of one owner. A key that never expires stands after all others. */
export class IndexExpiries1764300700002 implements MigrationInterface {
  readonly name = 'IndexExpiries1764300700002';
  readonly transaction = false;

  async up(runner: QueryRunner): Promise<void> {
    // What an interrupted run left is invalid, and is made anew.
    await runner.query('DROP INDEX CONCURRENTLY IF EXISTS api_keys_expiry_idx');
    await runner.query(
      `CREATE INDEX CONCURRENTLY api_keys_expiry_idx ON api_keys ((coalesce(expires_at, 'infinity'::timestamptz)), id)
       WHERE deleted_at IS NULL`,
    );
    await runner.query('DROP INDEX CONCURRENTLY IF EXISTS api_keys_owner_expiry_idx');
    await runner.query(
      `CREATE INDEX CONCURRENTLY api_keys_owner_expiry_idx
       ON api_keys (user_id, (coalesce(expires_at, 'infinity'::timestamptz)), id) WHERE deleted_at IS NULL`,
    );
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('DROP INDEX api_keys_owner_expiry_idx');
    await runner.query('DROP INDEX api_keys_expiry_idx');
  }
}
