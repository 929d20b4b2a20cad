CREATE OR REPLACE FUNCTION note_api_key_changes() RETURNS trigger LANGUAGE plpgsql
SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
  PERFORM note_changes('api_key', ARRAY(SELECT id FROM before_rows));
  RETURN NULL;
END $$;
