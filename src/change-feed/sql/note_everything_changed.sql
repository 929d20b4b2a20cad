CREATE OR REPLACE FUNCTION note_everything_changed() RETURNS trigger LANGUAGE plpgsql
SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
  INSERT INTO change_feed (kind) VALUES ('everything');
  PERFORM pg_notify('latchkey_changes', '');
  RETURN NULL;
END $$;
