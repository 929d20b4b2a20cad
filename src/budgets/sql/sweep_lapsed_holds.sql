-- Closes lapsed holds, at most so many: any, or those that count in the accounts of these keys. Answers how many,
-- with the states of the budgets of their keys.
CREATE OR REPLACE FUNCTION sweep_lapsed_holds(most integer, of_keys bigint[] DEFAULT NULL)
RETURNS TABLE (swept integer, states json) LANGUAGE plpgsql SET plan_cache_mode = force_generic_plan SET enable_seqscan = off AS $$
DECLARE
  at timestamptz := clock_timestamp();
  lapsed uuid[];
BEGIN
  IF of_keys IS NULL THEN
    lapsed := ARRAY(
      SELECT id FROM budget_holds WHERE status = 'held' AND expires_at <= at ORDER BY expires_at LIMIT most);
  ELSE
    lapsed := ARRAY(
      SELECT holds.id
      FROM keys_under_accounts(ARRAY(SELECT DISTINCT (account).id FROM budget_chains(of_keys))) AS key
      CROSS JOIN LATERAL (
        SELECT id FROM budget_holds WHERE api_key_id = key AND status = 'held' AND expires_at <= at LIMIT most
      ) AS holds
      LIMIT most);
  END IF;
  swept := CASE WHEN cardinality(lapsed) = 0 THEN 0 ELSE close_holds(lapsed, true) END;
  IF swept > 0 THEN
    states := budget_states(ARRAY(SELECT DISTINCT api_key_id FROM budget_holds WHERE id = ANY(lapsed)));
  END IF;
  RETURN NEXT;
END $$;
