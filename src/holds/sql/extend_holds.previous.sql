-- For instances of the version before, which know no reporters.
-- Lets holds live for at least so many seconds from now, and answers as find_holds does. Whichever is not held, or
-- should have lapsed, stays as it is.
CREATE OR REPLACE FUNCTION extend_holds(ids uuid[], ttl_seconds integer[]) RETURNS TABLE (
  id uuid, api_key_id bigint, status text, amount text, cost text, expires_at timestamptz, states json
) LANGUAGE plpgsql SET plan_cache_mode = force_generic_plan SET enable_seqscan = off AS $$
#variable_conflict use_column
BEGIN
  PERFORM lock_budget_accounts(accounts_of_holds(ids));
  UPDATE budget_holds AS holds SET expires_at = greatest(expires_at, clock_timestamp() + interval '1 second' * (
      SELECT max(ttl) FROM unnest(ids, ttl_seconds) AS asked (id, ttl) WHERE asked.id = holds.id))
    WHERE id = ANY(ids) AND status = 'held' AND expires_at > clock_timestamp();
  RETURN QUERY SELECT * FROM find_holds(ids);
END $$;
