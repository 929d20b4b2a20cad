-- A membership is a part of what its user may do.
CREATE OR REPLACE FUNCTION note_membership_changes() RETURNS trigger LANGUAGE plpgsql
SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
  PERFORM note_changes('user', ARRAY(SELECT DISTINCT user_id FROM changed_rows));
  RETURN NULL;
END $$;
