-- Drops the partitions of months that are older than the owner of the schema said, and no others, whoever asks. Readers and
-- writers are not held up: when one is in the way, it fails and is called again later.
CREATE OR REPLACE FUNCTION drop_audit_log_partitions() RETURNS integer LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, public, pg_temp SET lock_timeout = '200ms' AS $$
DECLARE
  kept_months integer := (SELECT months FROM public.audit_retention);
  partition text;
  dropped integer := 0;
BEGIN
  FOR partition IN
    SELECT relname FROM pg_class JOIN pg_inherits ON inhrelid = pg_class.oid
    WHERE inhparent = 'public.audit_logs'::regclass AND relname ~ '^audit_logs_\d{4}_\d\d$'
      AND to_date(right(relname, 7), 'YYYY_MM') < date_trunc('month', (now() - interval '2 hours') AT TIME ZONE 'UTC') - make_interval(months => kept_months)
    ORDER BY relname
  LOOP
    EXECUTE format('DROP TABLE public.%I', partition);
    dropped := dropped + 1;
  END LOOP;
  RETURN dropped;
END $$;
REVOKE EXECUTE ON FUNCTION drop_audit_log_partitions() FROM PUBLIC;
