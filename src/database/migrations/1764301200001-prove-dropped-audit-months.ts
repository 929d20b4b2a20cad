import type { MigrationInterface, QueryRunner } from 'typeorm';

/**
 * The month of the audit log that is being dropped, and what was read of it so far: a digest of its rows goes into the log
 * before they are gone.
 */
export class ProveDroppedAuditMonths1764301200001 implements MigrationInterface {
  readonly name = 'ProveDroppedAuditMonths1764301200001';

  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      CREATE TABLE audit_log_digests (
        month text NOT NULL CONSTRAINT audit_log_digests_pkey PRIMARY KEY,
        row_count bigint NOT NULL DEFAULT 0,
        first_id uuid,
        first_created_at timestamptz,
        last_id uuid,
        last_created_at timestamptz,
        digest bytea NOT NULL DEFAULT '',
        CONSTRAINT audit_log_digests_month_check CHECK (month ~ '^\\d{4}_\\d\\d$')
      )`);
  }

  /** A month that is being dropped goes back into the log. */
  async down(runner: QueryRunner): Promise<void> {
    await runner.query(`
      DO $$ DECLARE name text; BEGIN
        FOR name IN SELECT 'audit_logs_' || month FROM audit_log_digests LOOP
          EXECUTE format('DROP TRIGGER audit_logs_append_only ON %I', name);
          EXECUTE format('ALTER TABLE audit_logs ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)', name,
            to_date(right(name, 7), 'YYYY_MM')::timestamp AT TIME ZONE 'UTC',
            (to_date(right(name, 7), 'YYYY_MM') + interval '1 month') AT TIME ZONE 'UTC');
          EXECUTE format('ALTER TABLE %I ENABLE ALWAYS TRIGGER audit_logs_append_only', name);
        END LOOP;
      END $$;
      DROP TABLE audit_log_digests`);
  }
}
