-- Drops the partitions of days before a day, and answers how many. A drop waits briefly for readers of the events, since all
-- others queue behind it; what could not be locked is left for the next call.
CREATE OR REPLACE FUNCTION drop_usage_event_partitions(before_day date) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp SET lock_timeout = '200ms' AS $$
DECLARE
  partition text;
  dropped integer := 0;
BEGIN
  FOR partition IN
    SELECT relname FROM pg_class JOIN pg_inherits ON inhrelid = pg_class.oid
    WHERE inhparent = 'usage_events'::regclass AND relname ~ '^usage_events_\d{4}_\d\d_\d\d$'
      AND to_date(right(relname, 10), 'YYYY_MM_DD') < before_day
  LOOP
    BEGIN
      EXECUTE format('DROP TABLE public.%I', partition);
      dropped := dropped + 1;
    EXCEPTION WHEN lock_not_available THEN
      RETURN dropped;
    END;
  END LOOP;
  RETURN dropped;
END $$;
REVOKE EXECUTE ON FUNCTION drop_usage_event_partitions(date) FROM PUBLIC;
