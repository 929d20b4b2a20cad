-- Puts the account of a key's line, that of the key which no key created, under the account of its project or else of its
-- organization; under none where there is neither. Call it after the line has moved. What was spent and is held
-- stays counted where it was.
CREATE OR REPLACE FUNCTION place_budget_account(key bigint) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
  root bigint;
  place bigint;
BEGIN
  WITH RECURSIVE line AS (
    SELECT id, parent_key_id, organization_id, project_id FROM api_keys WHERE id = key
    UNION ALL
    SELECT parents.id, parents.parent_key_id, parents.organization_id, parents.project_id
    FROM line JOIN api_keys AS parents ON parents.id = line.parent_key_id
  )
  SELECT id, budget_account_of_place(organization_id, project_id) INTO root, place FROM line WHERE parent_key_id IS NULL;
  IF place IS NOT NULL THEN PERFORM ensure_budget_accounts(ARRAY[root]); END IF;
  UPDATE budget_accounts SET parent_id = place, linked_at = clock_timestamp(), revision = revision + 1
    WHERE api_key_id = root AND parent_id IS DISTINCT FROM place;
END $$;
