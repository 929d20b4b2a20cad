-- Locks the accounts in which charges to these keys and holds count; those that keys lack are made. Keys are named
-- once, in order; holds that are not named are null. Answers the keys that there are, and as lock_budget_accounts does.
CREATE OR REPLACE FUNCTION lock_budgets(
  keys bigint[], hold_ids uuid[], OUT known_keys bigint[], OUT is_limited boolean, OUT is_chained boolean
) LANGUAGE plpgsql SET plan_cache_mode = force_generic_plan SET enable_seqscan = off AS $$
DECLARE
  ids bigint[];
BEGIN
  -- Waits while keys are put under the account of their project (make_scope_account): then the chains are read.
  LOCK TABLE budget_accounts IN ROW SHARE MODE;
  SELECT array_agg(id), array_agg(api_key_id ORDER BY api_key_id), bool_or(parent_id IS NOT NULL)
  INTO ids, known_keys, is_chained
  FROM budget_accounts WHERE api_key_id = ANY(keys);
  IF is_chained OR known_keys IS DISTINCT FROM keys OR hold_ids IS NOT NULL THEN
    PERFORM ensure_budget_accounts(keys);
    ids := ARRAY(SELECT (account).id FROM budget_chains(keys) UNION SELECT unnest(accounts_of_holds(hold_ids)));
    known_keys := ARRAY(SELECT api_key_id FROM budget_accounts WHERE api_key_id = ANY(keys) ORDER BY api_key_id);
  END IF;
  SELECT locked.is_limited, locked.is_chained INTO is_limited, is_chained FROM lock_budget_accounts(ids) AS locked;
END $$;
