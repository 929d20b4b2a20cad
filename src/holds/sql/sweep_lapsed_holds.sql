-- Closes at most `most` expired holds: of any key, or only those that count in the budgets of `of_keys`. Returns how many,
-- with the states of the budgets of their keys. Closes none while an instance sees that the clock has jumped, since those
-- holds have not really expired. A hold that was taken while the clock was ahead expires no later than the longest hold
-- that could be taken now.
CREATE OR REPLACE FUNCTION sweep_lapsed_holds(most integer, of_keys bigint[] DEFAULT NULL)
RETURNS TABLE (swept integer, states json) LANGUAGE plpgsql SET plan_cache_mode = force_generic_plan SET enable_seqscan = off AS $$
DECLARE
  at timestamptz := clock_timestamp();
  lapsed uuid[];
  chain bigint[];
  has_scope boolean;
BEGIN
  IF EXISTS (
    SELECT FROM clock_marks
    WHERE at NOT BETWEEN seen_at - interval '1 hour' AND seen_at + interval '1 hour' AND jump IS DISTINCT FROM 'found'
  ) THEN
    swept := 0;
    RETURN NEXT;
    RETURN;
  END IF;
  IF of_keys IS NULL THEN
    UPDATE budget_holds SET expires_at = at + interval '1 day' WHERE id = ANY(ARRAY(
      SELECT id FROM budget_holds WHERE status = 'held' AND expires_at > at + interval '25 hours'
      ORDER BY expires_at LIMIT most FOR NO KEY UPDATE SKIP LOCKED));
    lapsed := ARRAY(
      SELECT id FROM budget_holds WHERE status = 'held' AND expires_at <= at ORDER BY expires_at LIMIT most);
  ELSE
    SELECT array_agg(DISTINCT (account).id), bool_or((account).api_key_id IS NULL) INTO chain, has_scope
    FROM budget_chains(of_keys);
  END IF;
  IF has_scope THEN
    -- Under the account of a project or an organization may be very many keys.
    lapsed := ARRAY(
      SELECT id FROM budget_holds WHERE status = 'held' AND expires_at <= at AND account_ids && chain
      ORDER BY expires_at LIMIT most);
  ELSIF of_keys IS NOT NULL THEN
    lapsed := ARRAY(
      SELECT holds.id
      FROM keys_under_accounts(chain) AS key
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
