CREATE OR REPLACE FUNCTION ensure_audit_log_partitions(from_month date, months integer) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
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
        'CREATE TABLE public.%I PARTITION OF audit_logs FOR VALUES FROM (%L) TO (%L)',
        partition, month::timestamp AT TIME ZONE 'UTC', (month + interval '1 month') AT TIME ZONE 'UTC'
      );
      EXECUTE format('ALTER TABLE public.%I ENABLE ALWAYS TRIGGER audit_logs_append_only', partition);
      EXECUTE format(
        'CREATE TRIGGER audit_logs_no_truncate BEFORE TRUNCATE ON public.%I
           FOR EACH STATEMENT EXECUTE FUNCTION refuse_audit_log_change()', partition
      );
      EXECUTE format('ALTER TABLE public.%I ENABLE ALWAYS TRIGGER audit_logs_no_truncate', partition);
     EXCEPTION WHEN check_violation THEN
      RAISE WARNING 'Rows of % stand in audit_logs_other_months and stay there.', partition;
     END;
    END IF;
    month := month + interval '1 month';
  END LOOP;
END $$;
