CREATE OR REPLACE FUNCTION drop_usage_event_partitions(before_day date) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
  partition text;
  dropped integer := 0;
BEGIN
  FOR partition IN
    SELECT relname FROM pg_class JOIN pg_inherits ON inhrelid = pg_class.oid
    WHERE inhparent = 'usage_events'::regclass AND relname ~ '^usage_events_\d{4}_\d\d_\d\d$'
      AND to_date(right(relname, 10), 'YYYY_MM_DD') < before_day
  LOOP
    EXECUTE format('DROP TABLE public.%I', partition);
    dropped := dropped + 1;
  END LOOP;
  RETURN dropped;
END $$;
