-- Lets holds live for at least so many seconds from now, and answers as find_holds does. Whichever is not held, or
-- should have expired, stays as it is.
CREATE OR REPLACE FUNCTION extend_holds(ids uuid[], ttl_seconds integer[], reporters bigint[]) RETURNS TABLE (
  id uuid, api_key_id bigint, taken_by bigint, status text, amount text, cost text, expires_at timestamptz, states json
) LANGUAGE plpgsql SET plan_cache_mode = force_generic_plan SET enable_seqscan = off AS $$
#variable_conflict use_column
BEGIN
  PERFORM lock_budget_accounts(accounts_of_holds(holds_of_reporters(ids, reporters)));
  UPDATE budget_holds AS holds
    SET expires_at = greatest(holds.expires_at, clock_timestamp() + interval '1 second' * asked.ttl)
    FROM (
      SELECT id, max(ttl) AS ttl FROM unnest(ids, ttl_seconds, reporters) AS input (id, ttl, reporter)
      WHERE id = ANY(holds_of_reporters(ARRAY[id], ARRAY[reporter])) GROUP BY id
    ) AS asked
    WHERE holds.id = asked.id AND status = 'held' AND holds.expires_at > clock_timestamp();
  RETURN QUERY SELECT * FROM find_holds(ids, reporters);
END $$;
