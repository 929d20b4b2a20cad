CREATE OR REPLACE FUNCTION note_session_changes() RETURNS trigger LANGUAGE plpgsql
SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
  PERFORM note_changes('user', ARRAY(
    SELECT DISTINCT before_rows.user_id FROM before_rows JOIN after_rows USING (id)
    WHERE after_rows.ended_at IS DISTINCT FROM before_rows.ended_at OR after_rows.user_id <> before_rows.user_id
      OR after_rows.expires_at < before_rows.expires_at
  ));
  RETURN NULL;
END $$;
