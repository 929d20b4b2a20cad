-- Of very many keys it is noted whose they are: caches forget all keys of a user by one row.
CREATE OR REPLACE FUNCTION note_api_key_changes() RETURNS trigger LANGUAGE plpgsql
SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
  keys bigint[] := ARRAY(SELECT id FROM before_rows);
BEGIN
  IF cardinality(keys) > 500 THEN
    PERFORM note_changes('user', ARRAY(SELECT DISTINCT user_id FROM before_rows));
  ELSE
    PERFORM note_changes('api_key', keys);
  END IF;
  RETURN NULL;
END $$;
