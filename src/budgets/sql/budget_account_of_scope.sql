-- The account of a project itself, or with null for the project that of the organization itself.
CREATE OR REPLACE FUNCTION budget_account_of_scope(organization bigint, project bigint) RETURNS bigint LANGUAGE sql STABLE AS $$
  SELECT id FROM budget_accounts WHERE project_id = project
  UNION ALL
  SELECT id FROM budget_accounts WHERE project IS NULL AND organization_id = organization
$$;
