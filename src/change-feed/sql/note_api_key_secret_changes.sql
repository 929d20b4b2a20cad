-- Notes the keys whose secrets changed. A change of `last_used_at` alone is not noted. For more than 500 keys their owners are
-- noted instead; if one of the keys is gone, everything.
-- IS NULL and not NOT EXISTS: the planner turns that into a join that reads the secrets of all keys.
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
