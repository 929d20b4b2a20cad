import type { MigrationInterface, QueryRunner } from 'typeorm';

/** Several secrets of a key may retire at once. The version before keeps to one, and works with either index. */
export class KeepSeveralRetiringSecrets1764300700001 implements MigrationInterface {
  readonly name = 'KeepSeveralRetiringSecrets1764300700001';
  readonly transaction = false;

  async up(runner: QueryRunner): Promise<void> {
    // What an interrupted run left is invalid, and is made anew.
    await runner.query('DROP INDEX CONCURRENTLY IF EXISTS api_key_secrets_retiring_idx');
    await runner.query(
      `CREATE INDEX CONCURRENTLY api_key_secrets_retiring_idx ON api_key_secrets (api_key_id)
       WHERE retires_at IS NOT NULL`,
    );
    await runner.query('DROP INDEX CONCURRENTLY IF EXISTS api_key_secrets_retiring_key');
  }

  /** Of several retiring secrets of a key only the one that lasts longest can stay. */
  async down(runner: QueryRunner): Promise<void> {
    await runner.query(`
      DELETE FROM api_key_secrets AS secrets USING api_key_secrets AS longer
      WHERE longer.api_key_id = secrets.api_key_id
        AND (longer.retires_at, longer.digest) > (secrets.retires_at, secrets.digest)`);
    await runner.query(
      'CREATE UNIQUE INDEX api_key_secrets_retiring_key ON api_key_secrets (api_key_id) WHERE retires_at IS NOT NULL',
    );
    await runner.query('DROP INDEX api_key_secrets_retiring_idx');
  }
}
