-- Fires once for each statement, however many keys it changes. Tables are asked by arrays, so that a plan made for one
-- key is good for thousands and the other way around.
CREATE OR REPLACE FUNCTION change_api_key_search_texts() RETURNS trigger LANGUAGE plpgsql
SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
  DELETE FROM api_key_search_texts WHERE api_key_id = ANY (ARRAY(SELECT id FROM after_rows WHERE deleted_at IS NOT NULL));
  INSERT INTO api_key_search_texts AS texts (api_key_id, text)
    SELECT after_rows.id, api_key_search_text(after_rows.name, after_rows.description)
    FROM after_rows JOIN before_rows USING (id)
    WHERE after_rows.deleted_at IS NULL AND (after_rows.name <> before_rows.name
      OR after_rows.description IS DISTINCT FROM before_rows.description OR before_rows.deleted_at IS NOT NULL)
    ON CONFLICT (api_key_id) DO UPDATE SET text = excluded.text;
  RETURN NULL;
END $$;
