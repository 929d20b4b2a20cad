-- The accounts that a charge to each key counts in: its own first (depth 1), then at most 15 ancestors.
CREATE OR REPLACE FUNCTION budget_chains(keys bigint[])
RETURNS TABLE (api_key_id bigint, depth integer, account budget_accounts) LANGUAGE plpgsql SET plan_cache_mode = force_generic_plan SET enable_seqscan = off AS $$
#variable_conflict use_column
BEGIN
  RETURN QUERY
    WITH RECURSIVE chain AS (
      SELECT accounts.api_key_id, 1 AS depth, accounts AS account
      FROM budget_accounts AS accounts WHERE accounts.api_key_id = ANY(keys)
      UNION ALL
      SELECT chain.api_key_id, chain.depth + 1, parents.account
      FROM chain CROSS JOIN LATERAL (
        SELECT accounts AS account FROM budget_accounts AS accounts WHERE id = (chain.account).parent_id LIMIT 1
      ) AS parents
      WHERE chain.depth < 16
    )
    SELECT chain.api_key_id, chain.depth, chain.account FROM chain;
END $$;
