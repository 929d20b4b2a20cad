CREATE OR REPLACE FUNCTION note_api_key_deletes() RETURNS trigger LANGUAGE plpgsql
SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
  INSERT INTO api_key_count_changes (user_id, is_active, keys)
    SELECT user_id, is_active, -count(*) FROM before_rows WHERE deleted_at IS NULL GROUP BY 1, 2;
  RETURN NULL;
END $$;
