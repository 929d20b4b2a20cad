CREATE OR REPLACE FUNCTION remove_api_key_search_texts() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  DELETE FROM api_key_search_texts WHERE api_key_id IN (SELECT id FROM before_rows);
  RETURN NULL;
END $$;
