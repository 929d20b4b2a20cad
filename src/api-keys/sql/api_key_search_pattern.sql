-- The pattern of LIKE for texts that hold the one searched for. It is folded first: folding may bring % and _ about.
CREATE OR REPLACE FUNCTION api_key_search_pattern(searched text) RETURNS text LANGUAGE plpgsql IMMUTABLE STRICT
SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
  RETURN '%' || regexp_replace(fold_search_text(searched), '([\\%_])', '\\\1', 'g') || '%';
END $$;
