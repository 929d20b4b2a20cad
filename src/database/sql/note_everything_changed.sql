CREATE OR REPLACE FUNCTION note_everything_changed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO change_feed (kind) VALUES ('everything');
  PERFORM pg_notify('latchkey_changes', '');
  RETURN NULL;
END $$;
