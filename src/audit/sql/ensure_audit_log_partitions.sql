-- Makes the partitions of so many months from a month on. A new one is made beside the table and attached: that waits for
-- nobody who writes rows of other months. What it does wait for it waits for briefly, since all others queue behind it;
-- months that could not be locked are left for the next call.
CREATE OR REPLACE FUNCTION ensure_audit_log_partitions(from_month date, months integer) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp SET lock_timeout = '200ms' AS $$
DECLARE
  month date := date_trunc('month', from_month);
  partition text;
BEGIN
  PERFORM pg_advisory_xact_lock(hashtext('ensure_audit_log_partitions'));
  FOR step IN 1..months LOOP
    partition := 'audit_logs_' || to_char(month, 'YYYY_MM');
    IF to_regclass(format('public.%I', partition)) IS NULL THEN
     BEGIN
      EXECUTE format('CREATE TABLE public.%I (LIKE audit_logs INCLUDING DEFAULTS)', partition);
      EXECUTE format(
        'CREATE TRIGGER audit_logs_no_truncate BEFORE TRUNCATE ON public.%I
           FOR EACH STATEMENT EXECUTE FUNCTION refuse_audit_log_change()', partition
      );
      EXECUTE format('ALTER TABLE public.%I ENABLE ALWAYS TRIGGER audit_logs_no_truncate', partition);
      EXECUTE format(
        'ALTER TABLE audit_logs ATTACH PARTITION public.%I FOR VALUES FROM (%L) TO (%L)',
        partition, month::timestamp AT TIME ZONE 'UTC', (month + interval '1 month') AT TIME ZONE 'UTC'
      );
      EXECUTE format('ALTER TABLE public.%I ENABLE ALWAYS TRIGGER audit_logs_append_only', partition);
     EXCEPTION
      WHEN check_violation THEN
       RAISE WARNING 'Rows of % stand in audit_logs_other_months and stay there.', partition;
      WHEN lock_not_available THEN
       RAISE WARNING 'The partition % waits for a reader of audit_logs, and is made next time.', partition;
       RETURN;
     END;
    END IF;
    month := month + interval '1 month';
  END LOOP;
END $$;
REVOKE EXECUTE ON FUNCTION ensure_audit_log_partitions(date, integer) FROM PUBLIC;
