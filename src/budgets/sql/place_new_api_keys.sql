-- New keys of a project that has a budget, or whose organization has one, get their accounts under it at once: so verdicts
-- know of it before the first charge.
CREATE OR REPLACE FUNCTION place_new_api_keys() RETURNS trigger LANGUAGE plpgsql
SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
  budgeted bigint[];
BEGIN
  budgeted := ARRAY(
    SELECT project_id FROM (SELECT DISTINCT organization_id, project_id FROM after_rows) AS places
    WHERE EXISTS (SELECT FROM budget_accounts WHERE budget_accounts.project_id = places.project_id)
      OR EXISTS (SELECT FROM budget_accounts WHERE budget_accounts.organization_id = places.organization_id));
  IF cardinality(budgeted) > 0 THEN
    PERFORM ensure_budget_accounts(
      ARRAY(SELECT id FROM after_rows WHERE project_id = ANY(budgeted) AND parent_key_id IS NULL));
  END IF;
  RETURN NULL;
END $$;
