-- The account that the keys of a project count in above their own: that of the project, else that of its organization.
CREATE OR REPLACE FUNCTION budget_account_of_place(organization bigint, project bigint) RETURNS bigint LANGUAGE sql STABLE AS $$
  SELECT coalesce(
    (SELECT id FROM budget_accounts WHERE project_id = project),
    (SELECT id FROM budget_accounts WHERE organization_id = organization))
$$;
