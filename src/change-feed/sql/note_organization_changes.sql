CREATE OR REPLACE FUNCTION note_organization_changes() RETURNS trigger LANGUAGE plpgsql
SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
  PERFORM note_changes('organization', ARRAY(SELECT id FROM before_rows));
  RETURN NULL;
END $$;
