-- For instances of the version before, which know no reporters.
-- Holds as they are shown. One whose time is over has lapsed, swept or not. The first row carries the states of the
-- budgets of all keys.
CREATE OR REPLACE FUNCTION find_holds(ids uuid[]) RETURNS TABLE (
  id uuid, api_key_id bigint, status text, amount text, cost text, expires_at timestamptz, states json
) LANGUAGE plpgsql SET plan_cache_mode = force_generic_plan SET enable_seqscan = off AS $$
#variable_conflict use_column
BEGIN
  RETURN QUERY
    WITH holds AS MATERIALIZED (
      SELECT *, row_number() OVER () AS n FROM budget_holds WHERE id = ANY(ids)
    )
    SELECT id, api_key_id, CASE WHEN status = 'held' AND expires_at <= clock_timestamp() THEN 'lapsed' ELSE status END,
      amount_micro_cents::text, cost_micro_cents::text, expires_at,
      CASE WHEN n = 1 THEN budget_states(ARRAY(SELECT DISTINCT api_key_id FROM holds)) END
    FROM holds;
END $$;
