CREATE OR REPLACE FUNCTION add_api_key_search_texts() RETURNS trigger LANGUAGE plpgsql
SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
  INSERT INTO api_key_search_texts (api_key_id, text)
    SELECT id, api_key_search_text(name, description) FROM after_rows WHERE deleted_at IS NULL;
  RETURN NULL;
END $$;
