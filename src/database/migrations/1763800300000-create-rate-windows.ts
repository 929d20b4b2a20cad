import type { MigrationInterface, QueryRunner } from 'typeorm';

/**
 * The rate windows of an instance that has no Redis, as it saved them a few seconds ago, and which instances live.
 * Windows are rewritten all the time: pages keep room for that, and no index but the key's makes it dearer.
 */
export class CreateRateWindows1763800300000 implements MigrationInterface {
  readonly name = 'CreateRateWindows1763800300000';

  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      CREATE TABLE rate_windows (
        api_key_id bigint NOT NULL CONSTRAINT rate_windows_pkey PRIMARY KEY,
        windows bytea NOT NULL,
        expires_at timestamptz NOT NULL,
        CONSTRAINT rate_windows_windows_check CHECK (octet_length(windows) = 148)
      ) WITH (fillfactor = 50);
      ALTER TABLE rate_windows ALTER COLUMN windows SET STORAGE PLAIN;

      CREATE TABLE instances (
        id uuid NOT NULL CONSTRAINT instances_pkey PRIMARY KEY,
        started_at timestamptz NOT NULL DEFAULT now(),
        seen_at timestamptz NOT NULL DEFAULT now()
      );
    `);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('DROP TABLE instances, rate_windows');
  }
}
