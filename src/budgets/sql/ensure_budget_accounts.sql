-- Makes the accounts of keys that have none yet. That of a key which no key created is under that of its project or
-- organization, where there is one.
CREATE OR REPLACE FUNCTION ensure_budget_accounts(keys bigint[]) RETURNS void LANGUAGE plpgsql SET plan_cache_mode = force_generic_plan SET enable_seqscan = off AS $$
BEGIN
  INSERT INTO budget_accounts (api_key_id, parent_id)
    SELECT api_keys.id, CASE WHEN parent_key_id IS NULL THEN budget_account_of_place(organization_id, project_id) END FROM api_keys
    WHERE id = ANY(keys)
      AND (SELECT accounts.id FROM budget_accounts AS accounts WHERE api_key_id = api_keys.id) IS NULL
    ORDER BY id
  ON CONFLICT (api_key_id) DO NOTHING;
END $$;
