-- A secret that is still there as it was says nothing: its last use is no change of what it opens. Of the secrets of very
-- many keys it is noted whose they are, as with the keys themselves; where one of the keys is gone, that everything changed.
-- Not NOT EXISTS: that becomes a join, for which the secrets of all keys are read.
CREATE OR REPLACE FUNCTION note_api_key_secret_changes() RETURNS trigger LANGUAGE plpgsql
SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
  keys bigint[] := ARRAY(
    SELECT DISTINCT before_rows.api_key_id FROM before_rows
    WHERE TG_OP = 'DELETE' OR (
      SELECT true FROM api_key_secrets AS secrets
      WHERE secrets.digest = before_rows.digest AND secrets.api_key_id = before_rows.api_key_id
        AND secrets.retires_at IS NOT DISTINCT FROM before_rows.retires_at
    ) IS NULL
  );
  owners bigint[];
  found integer;
BEGIN
  IF cardinality(keys) <= 500 THEN
    PERFORM note_changes('api_key', keys);
    RETURN NULL;
  END IF;
  SELECT array_agg(DISTINCT user_id), count(*) INTO owners, found FROM api_keys WHERE id = ANY (keys);
  IF found = cardinality(keys) THEN
    PERFORM note_changes('user', owners);
  ELSE
    INSERT INTO change_feed (kind) VALUES ('everything');
    PERFORM pg_notify('latchkey_changes', '');
  END IF;
  RETURN NULL;
END $$;
