-- Sets the limit and the period type of a key's account, as set_account_limit does.
CREATE OR REPLACE FUNCTION set_budget_limit(key bigint, new_limit bigint, new_type text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  PERFORM ensure_budget_accounts(ARRAY[key]);
  PERFORM set_account_limit(id, new_limit, new_type) FROM budget_accounts WHERE api_key_id = key;
END $$;
