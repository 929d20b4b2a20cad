-- A search that holds the character between the two is compared with each by itself.
CREATE OR REPLACE FUNCTION api_key_search_text(name text, description text) RETURNS text LANGUAGE sql IMMUTABLE AS $$
  SELECT fold_search_text(name || chr(31) || coalesce(description, ''))
$$;
