CREATE OR REPLACE FUNCTION ensure_usage_event_partitions(from_day date, days integer) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
  day date := from_day;
  partition text;
BEGIN
  PERFORM pg_advisory_xact_lock(hashtext('ensure_usage_event_partitions'));
  FOR step IN 1..days LOOP
    partition := 'usage_events_' || to_char(day, 'YYYY_MM_DD');
    IF to_regclass(format('public.%I', partition)) IS NULL THEN
      EXECUTE format(
        'CREATE TABLE public.%I PARTITION OF usage_events FOR VALUES FROM (%L) TO (%L)',
        partition, day::timestamp AT TIME ZONE 'UTC', (day + 1)::timestamp AT TIME ZONE 'UTC'
      );
    END IF;
    day := day + 1;
  END LOOP;
END $$;
