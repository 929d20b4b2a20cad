-- The keys whose charges count in any of these accounts, which are of keys.
CREATE OR REPLACE FUNCTION keys_under_accounts(ids bigint[]) RETURNS SETOF bigint LANGUAGE plpgsql SET plan_cache_mode = force_generic_plan SET enable_seqscan = off AS $$
BEGIN
  RETURN QUERY
    WITH RECURSIVE family AS (
      SELECT id, api_key_id FROM budget_accounts WHERE id = ANY(ids)
      UNION
      SELECT children.id, children.api_key_id FROM family CROSS JOIN LATERAL (
        SELECT accounts.id, accounts.api_key_id FROM budget_accounts AS accounts WHERE parent_id = family.id OFFSET 0
      ) AS children
    )
    SELECT api_key_id FROM family WHERE api_key_id IS NOT NULL;
END $$;
