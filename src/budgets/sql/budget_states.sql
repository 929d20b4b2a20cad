-- What each key's budget stands at: {key: [its own account, …ancestors]}, only accounts with a limit and keys that
-- have one.
CREATE OR REPLACE FUNCTION budget_states(keys bigint[]) RETURNS json LANGUAGE sql AS $$
  SELECT json_object_agg(api_key_id, accounts) FROM (
    SELECT api_key_id, json_agg(budget_state(
      CASE WHEN (account).period_type = 'monthly' AND (account).period_start <> budget_month(clock_timestamp())
        THEN current_budget_account(account) ELSE account END, depth) ORDER BY depth) AS accounts
    FROM budget_chains(keys) WHERE (account).limit_micro_cents IS NOT NULL GROUP BY api_key_id
  ) AS states
$$;
