CREATE OR REPLACE FUNCTION note_api_key_secret_changes() RETURNS trigger LANGUAGE plpgsql
SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
  PERFORM note_changes('api_key', ARRAY(SELECT DISTINCT api_key_id FROM before_rows));
  RETURN NULL;
END $$;
