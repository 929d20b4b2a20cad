-- Makes the partitions of so many days from a day on, and moves what the partition for other days holds of them. A new one is
-- made beside the table and attached: that waits for nobody who writes events of other days. What it does wait for it waits
-- for briefly, since all others queue behind it; days that could not be locked are left for the next call.
CREATE OR REPLACE FUNCTION ensure_usage_event_partitions(from_day date, days integer) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp SET lock_timeout = '200ms' AS $$
DECLARE
  day date := from_day;
  partition text;
  from_time timestamptz;
  to_time timestamptz;
BEGIN
  PERFORM pg_advisory_xact_lock(hashtext('ensure_usage_event_partitions'));
  FOR step IN 1..days LOOP
    partition := 'usage_events_' || to_char(day, 'YYYY_MM_DD');
    IF to_regclass(format('public.%I', partition)) IS NULL THEN
      from_time := day::timestamp AT TIME ZONE 'UTC';
      to_time := (day + 1)::timestamp AT TIME ZONE 'UTC';
      BEGIN
        -- Attaching takes this lock in any case. Taken first, it lets no row in between moving and attaching.
        LOCK TABLE public.usage_events_other_days IN ACCESS EXCLUSIVE MODE;
        EXECUTE format('CREATE TABLE public.%I (LIKE usage_events INCLUDING DEFAULTS)', partition);
        EXECUTE format('WITH moved AS (
            DELETE FROM usage_events_other_days WHERE occurred_at >= %L AND occurred_at < %L RETURNING *
          ) INSERT INTO public.%I SELECT * FROM moved', from_time, to_time, partition);
        EXECUTE format('ALTER TABLE usage_events ATTACH PARTITION public.%I FOR VALUES FROM (%L) TO (%L)',
          partition, from_time, to_time);
      EXCEPTION WHEN lock_not_available THEN
        RAISE WARNING 'The partition % waits for a reader of usage_events, and is made next time.', partition;
        RETURN;
      END;
    END IF;
    day := day + 1;
  END LOOP;
END $$;
REVOKE EXECUTE ON FUNCTION ensure_usage_event_partitions(date, integer) FROM PUBLIC;
