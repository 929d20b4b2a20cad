import type { MigrationInterface, QueryRunner } from 'typeorm';

/** What is shown of a secret: its first characters and its last use. No row is rewritten. */
export class DescribeSecrets1764300700000 implements MigrationInterface {
  readonly name = 'DescribeSecrets1764300700000';

  async up(runner: QueryRunner): Promise<void> {
    await runner.query(
      'ALTER TABLE api_key_secrets ADD COLUMN key_prefix text, ADD COLUMN last_used_at timestamptz',
    );
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('ALTER TABLE api_key_secrets DROP COLUMN key_prefix, DROP COLUMN last_used_at');
  }
}
