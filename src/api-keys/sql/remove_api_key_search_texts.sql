CREATE OR REPLACE FUNCTION remove_api_key_search_texts() RETURNS trigger LANGUAGE plpgsql
SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
  DELETE FROM api_key_search_texts WHERE api_key_id IN (SELECT id FROM before_rows);
  RETURN NULL;
END $$;
