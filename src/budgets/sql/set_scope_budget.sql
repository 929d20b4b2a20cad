-- Sets the limit and the period type of the account of a project, or with null for the project of its whole organization.
-- The first limit makes the account; a limit that is taken away leaves it. Notes the change for the caches of keys.
CREATE OR REPLACE FUNCTION set_scope_budget(organization bigint, project bigint, new_limit bigint, new_type text) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
  account bigint := budget_account_of_scope(organization, project);
BEGIN
  IF account IS NULL THEN
    IF new_limit IS NULL THEN RETURN; END IF;
    account := make_scope_account(organization, project);
  END IF;
  PERFORM set_account_limit(account, new_limit, new_type);
  IF project IS NULL THEN
    PERFORM note_changes('organization', ARRAY[organization]);
  ELSE
    PERFORM note_changes('project', ARRAY[project]);
  END IF;
END $$;
