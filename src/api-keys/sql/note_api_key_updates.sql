CREATE OR REPLACE FUNCTION note_api_key_updates() RETURNS trigger LANGUAGE plpgsql
SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
  INSERT INTO api_key_count_changes (user_id, is_active, keys)
    SELECT user_id, is_active, sum(step) FROM (
      SELECT user_id, is_active, 1 AS step FROM after_rows WHERE deleted_at IS NULL
      UNION ALL
      SELECT user_id, is_active, -1 FROM before_rows WHERE deleted_at IS NULL
    ) AS steps GROUP BY 1, 2 HAVING sum(step) <> 0;
  RETURN NULL;
END $$;
