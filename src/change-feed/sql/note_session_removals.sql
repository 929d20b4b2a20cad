CREATE OR REPLACE FUNCTION note_session_removals() RETURNS trigger LANGUAGE plpgsql
SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
  PERFORM note_changes('user', ARRAY(
    SELECT DISTINCT user_id FROM before_rows WHERE ended_at IS NULL AND expires_at > now()
  ));
  RETURN NULL;
END $$;
