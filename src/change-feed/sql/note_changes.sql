CREATE OR REPLACE FUNCTION note_changes(changed_kind text, changed_ids bigint[]) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  IF cardinality(changed_ids) = 0 THEN
    RETURN;
  ELSIF cardinality(changed_ids) > 5000 THEN
    INSERT INTO change_feed (kind) VALUES ('everything');
  ELSE
    INSERT INTO change_feed (kind, id) SELECT changed_kind, unnest(changed_ids);
  END IF;
  PERFORM pg_notify('latchkey_changes', '');
END $$;
