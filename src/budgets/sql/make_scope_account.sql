-- Makes the account of a project, or with null for the project of its whole organization, and puts under it what is to
-- count in it: of an organization the accounts of its projects, and of all keys that no key created and that are under
-- none yet. What was spent before does not count. Answers the account, also one that another call has made meanwhile.
--
-- A creation of a key locks its project and organization, and so waits for this, or this for it. Charges and
-- grants wait as well, before they look for the chains of their keys (lock_budgets): no chain changes under them.
CREATE OR REPLACE FUNCTION make_scope_account(organization bigint, project bigint) RETURNS bigint
LANGUAGE plpgsql SET plan_cache_mode = force_generic_plan AS $$
DECLARE
  account bigint;
  above bigint;
  keys bigint[];
BEGIN
  IF project IS NULL THEN
    PERFORM FROM organizations WHERE id = organization FOR UPDATE;
  ELSE
    PERFORM FROM organizations WHERE id = organization FOR KEY SHARE;
    PERFORM FROM projects WHERE id = project FOR UPDATE;
  END IF;
  account := budget_account_of_scope(organization, project);
  IF account IS NOT NULL THEN RETURN account; END IF;
  LOCK TABLE budget_accounts IN EXCLUSIVE MODE;
  above := CASE WHEN project IS NOT NULL THEN budget_account_of_scope(organization, NULL) END;
  INSERT INTO budget_accounts (organization_id, project_id, parent_id, spent_since)
    VALUES (CASE WHEN project IS NULL THEN organization END, project, above, clock_timestamp()) RETURNING id INTO account;
  IF project IS NULL THEN
    UPDATE budget_accounts SET parent_id = account, revision = revision + 1
      FROM projects WHERE projects.organization_id = organization AND budget_accounts.project_id = projects.id;
  END IF;
  UPDATE budget_accounts SET parent_id = account, revision = revision + 1
    FROM api_keys
    WHERE api_keys.id = budget_accounts.api_key_id AND api_keys.parent_key_id IS NULL
      AND budget_accounts.parent_id IS NOT DISTINCT FROM above AND api_keys.organization_id = organization
      AND (project IS NULL OR api_keys.project_id = project);
  keys := ARRAY(
    SELECT id FROM api_keys
    WHERE organization_id = organization AND (project IS NULL OR project_id = project) AND parent_key_id IS NULL
      AND deleted_at IS NULL);
  PERFORM ensure_budget_accounts(keys);
  RETURN account;
END $$;
