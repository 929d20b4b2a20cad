-- A search that holds the character between the two is compared with each by itself.
CREATE OR REPLACE FUNCTION api_key_search_text(name text, description text) RETURNS text LANGUAGE sql IMMUTABLE
  RETURN lower(name || chr(31) || coalesce(description, ''));
