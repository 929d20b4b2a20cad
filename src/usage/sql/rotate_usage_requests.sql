-- Begins the next generation of request ids when the newest is 31 days old, and drops each that ended 31 days ago, so that
-- an id is known for 31 to 62 days. A drop costs the same however many ids there are. All other statements on the ids queue
-- behind the lock of a drop, so it waits for that lock only briefly and otherwise leaves the drop to the next call.
-- Returns how many generations were dropped. Generation 0 is the table of version 0.1.0, which is emptied instead.
CREATE OR REPLACE FUNCTION rotate_usage_requests() RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp SET lock_timeout = '200ms' AS $$
DECLARE
  newest usage_request_generations;
  old_number integer;
  partition text;
  dropped integer := 0;
BEGIN
  PERFORM pg_advisory_xact_lock(hashtext('rotate_usage_requests'));
  SELECT * INTO newest FROM usage_request_generations ORDER BY number DESC LIMIT 1;
  IF newest.began_at < now() - interval '31 days' THEN
    partition := 'usage_requests_' || (newest.number + 1);
    -- Created apart and attached: that does not wait for statements that add or look up ids.
    EXECUTE format('CREATE TABLE public.%I (LIKE usage_requests INCLUDING DEFAULTS, CONSTRAINT %I PRIMARY KEY (api_key_id, request_id, reporter))',
      partition, partition || '_pkey');
    EXECUTE format('ALTER TABLE usage_requests ATTACH PARTITION public.%I FOR VALUES IN (%s)', partition, newest.number + 1);
    UPDATE usage_request_generations SET ended_at = now() WHERE number = newest.number;
    INSERT INTO usage_request_generations (number, began_at) VALUES (newest.number + 1, now());
  END IF;
  -- An instance of version 0.1.0 may still have been adding to it; its statements time out within seconds.
  DELETE FROM usage_request_generations
    WHERE number = 0 AND ended_at < now() - interval '1 minute' AND NOT EXISTS (SELECT FROM usage_request_ids);
  FOR old_number IN
    SELECT number FROM usage_request_generations WHERE ended_at < now() - interval '31 days' ORDER BY number
  LOOP
    BEGIN
      IF old_number = 0 THEN
        TRUNCATE public.usage_request_ids;
      ELSE
        EXECUTE format('DROP TABLE public.%I', 'usage_requests_' || old_number);
      END IF;
    EXCEPTION WHEN lock_not_available THEN
      RETURN dropped;
    END;
    DELETE FROM usage_request_generations WHERE number = old_number;
    dropped := dropped + 1;
  END LOOP;
  RETURN dropped;
END $$;
REVOKE EXECUTE ON FUNCTION rotate_usage_requests() FROM PUBLIC;
