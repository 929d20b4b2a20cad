import type { MigrationInterface, QueryRunner } from 'typeorm';

/**
 * The audit log: partitioned by month, append-only. Triggers refuse UPDATE, DELETE and TRUNCATE on the table
 * and on each partition, also in sessions that replicate. `ensure_audit_log_partitions` makes the partitions of
 * the coming months; it runs with the rights of the schema's owner, so that the service needs none to alter tables,
 * and looks at temporary tables last, so that a caller's cannot stand in for ours.
 */
export class CreateAuditLogs1763800200000 implements MigrationInterface {
  readonly name = 'CreateAuditLogs1763800200000';

  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      CREATE TABLE audit_logs (
        id uuid NOT NULL,
        created_at timestamptz NOT NULL,
        user_id bigint,
        api_key_id bigint,
        action text NOT NULL,
        resource_type text NOT NULL,
        resource_id text,
        details jsonb NOT NULL,
        ip_address text,
        user_agent text,
        request_id text,
        success boolean NOT NULL,
        CONSTRAINT audit_logs_pkey PRIMARY KEY (created_at, id)
      ) PARTITION BY RANGE (created_at);
      CREATE INDEX audit_logs_user_id_idx ON audit_logs (user_id, created_at, id);
      CREATE INDEX audit_logs_resource_idx ON audit_logs (resource_id, resource_type, created_at, id);
      CREATE INDEX audit_logs_failures_idx ON audit_logs (created_at, id) WHERE NOT success;
      CREATE INDEX audit_logs_action_idx ON audit_logs (action, created_at, id);

      CREATE FUNCTION refuse_audit_log_change() RETURNS trigger LANGUAGE plpgsql AS $$
      BEGIN
        RAISE EXCEPTION 'Audit logs are append-only: % is refused.', TG_OP USING ERRCODE = 'insufficient_privilege';
      END $$;
      CREATE TRIGGER audit_logs_append_only BEFORE UPDATE OR DELETE ON audit_logs
        FOR EACH ROW EXECUTE FUNCTION refuse_audit_log_change();
      ALTER TABLE audit_logs ENABLE ALWAYS TRIGGER audit_logs_append_only;
      CREATE TRIGGER audit_logs_no_truncate BEFORE TRUNCATE ON audit_logs
        FOR EACH STATEMENT EXECUTE FUNCTION refuse_audit_log_change();
      ALTER TABLE audit_logs ENABLE ALWAYS TRIGGER audit_logs_no_truncate;

      CREATE FUNCTION ensure_audit_log_partitions(from_month date, months integer) RETURNS void
      LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
      DECLARE
        month date := date_trunc('month', from_month);
        partition text;
      BEGIN
        PERFORM pg_advisory_xact_lock(hashtext('ensure_audit_log_partitions'));
        FOR step IN 1..months LOOP
          partition := 'audit_logs_' || to_char(month, 'YYYY_MM');
          IF to_regclass(format('public.%I', partition)) IS NULL THEN
           BEGIN
            EXECUTE format(
              'CREATE TABLE %I PARTITION OF audit_logs FOR VALUES FROM (%L) TO (%L)',
              partition, month::timestamp AT TIME ZONE 'UTC', (month + interval '1 month') AT TIME ZONE 'UTC'
            );
            EXECUTE format('ALTER TABLE %I ENABLE ALWAYS TRIGGER audit_logs_append_only', partition);
            EXECUTE format(
              'CREATE TRIGGER audit_logs_no_truncate BEFORE TRUNCATE ON %I
                 FOR EACH STATEMENT EXECUTE FUNCTION refuse_audit_log_change()', partition
            );
            EXECUTE format('ALTER TABLE %I ENABLE ALWAYS TRIGGER audit_logs_no_truncate', partition);
           EXCEPTION WHEN check_violation THEN
            RAISE WARNING 'Rows of % stand in audit_logs_other_months and stay there.', partition;
           END;
          END IF;
          month := month + interval '1 month';
        END LOOP;
      END $$;
      REVOKE EXECUTE ON FUNCTION ensure_audit_log_partitions(date, integer) FROM PUBLIC;
      SELECT ensure_audit_log_partitions((now() AT TIME ZONE 'UTC')::date, 3);

      CREATE TABLE audit_logs_other_months PARTITION OF audit_logs DEFAULT;
      ALTER TABLE audit_logs_other_months ENABLE ALWAYS TRIGGER audit_logs_append_only;
      CREATE TRIGGER audit_logs_no_truncate BEFORE TRUNCATE ON audit_logs_other_months
        FOR EACH STATEMENT EXECUTE FUNCTION refuse_audit_log_change();
      ALTER TABLE audit_logs_other_months ENABLE ALWAYS TRIGGER audit_logs_no_truncate;
    `);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query(`
      DROP TABLE audit_logs;
      DROP FUNCTION ensure_audit_log_partitions(date, integer), refuse_audit_log_change();
    `);
  }
}
