-- Puts the account of a new key under that of its parent: what the key spends and holds counts there as well, whether or
-- not the parent has a limit yet.
CREATE OR REPLACE FUNCTION set_budget_parent(key bigint, parent_key bigint) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  PERFORM ensure_budget_accounts(ARRAY[parent_key, key]);
  UPDATE budget_accounts SET revision = revision + 1,
      parent_id = (SELECT id FROM budget_accounts WHERE api_key_id = parent_key)
    WHERE api_key_id = key;
END $$;
