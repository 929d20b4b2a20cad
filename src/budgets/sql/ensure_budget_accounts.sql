-- Makes the accounts of keys that have none yet.
CREATE OR REPLACE FUNCTION ensure_budget_accounts(keys bigint[]) RETURNS void LANGUAGE plpgsql SET plan_cache_mode = force_generic_plan SET enable_seqscan = off AS $$
BEGIN
  INSERT INTO budget_accounts (api_key_id)
    SELECT api_keys.id FROM api_keys
    WHERE id = ANY(keys)
      AND (SELECT accounts.id FROM budget_accounts AS accounts WHERE api_key_id = api_keys.id) IS NULL
    ORDER BY id
  ON CONFLICT (api_key_id) DO NOTHING;
END $$;
