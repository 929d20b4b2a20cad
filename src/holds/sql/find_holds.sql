-- Holds as they are shown, of those whom they are asked by: reporters are the callers, null for one who may see any. One
-- whose time is over has expired, swept or not. taken_by is the reporter that took it, null when that is not known: anyone
-- may see it then. The first row carries the states of the budgets of all keys.
CREATE OR REPLACE FUNCTION find_holds(ids uuid[], reporters bigint[]) RETURNS TABLE (
  id uuid, api_key_id bigint, taken_by bigint, status text, amount text, cost text, expires_at timestamptz, states json
) LANGUAGE plpgsql SET plan_cache_mode = force_generic_plan SET enable_seqscan = off AS $$
#variable_conflict use_column
BEGIN
  RETURN QUERY
    WITH holds AS MATERIALIZED (
      SELECT *, coalesce(taken_by_api_key_id, -taken_by_user_id) AS taken_by, row_number() OVER () AS n
      FROM budget_holds WHERE id = ANY(holds_of_reporters(ids, reporters))
    )
    SELECT id, api_key_id, taken_by,
      CASE WHEN status = 'held' AND expires_at <= clock_timestamp() THEN 'lapsed' ELSE status END,
      amount_micro_cents::text, cost_micro_cents::text, expires_at,
      CASE WHEN n = 1 THEN budget_states(ARRAY(SELECT DISTINCT api_key_id FROM holds)) END
    FROM holds;
END $$;
