CREATE OR REPLACE FUNCTION change_api_key_search_text() RETURNS trigger LANGUAGE plpgsql
SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
  IF NEW.deleted_at IS NULL THEN
    INSERT INTO api_key_search_texts AS texts (api_key_id, text)
      VALUES (NEW.id, api_key_search_text(NEW.name, NEW.description))
      ON CONFLICT (api_key_id) DO UPDATE SET text = excluded.text;
  ELSE
    DELETE FROM api_key_search_texts WHERE api_key_id = NEW.id;
  END IF;
  RETURN NULL;
END $$;
