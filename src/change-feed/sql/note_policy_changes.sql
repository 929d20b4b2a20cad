-- A policy binds the keys of its project, or of all projects of its organization.
CREATE OR REPLACE FUNCTION note_policy_changes() RETURNS trigger LANGUAGE plpgsql
SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
  PERFORM note_changes('project', ARRAY(SELECT project_id FROM changed_rows WHERE project_id IS NOT NULL));
  PERFORM note_changes('organization', ARRAY(SELECT organization_id FROM changed_rows WHERE project_id IS NULL));
  RETURN NULL;
END $$;
