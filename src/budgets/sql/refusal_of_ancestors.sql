-- Why what a key came from is refused, as refused_keys says it; null when nothing of it is.
CREATE OR REPLACE FUNCTION refusal_of_ancestors(key bigint, at timestamptz) RETURNS text
LANGUAGE plpgsql STABLE SET plan_cache_mode = force_generic_plan SET enable_seqscan = off AS $$
BEGIN
  RETURN (
    WITH RECURSIVE line AS (
      SELECT parent_key_id AS ancestor_id FROM api_keys WHERE id = key
      UNION ALL
      SELECT parents.parent_key_id FROM line JOIN api_keys AS parents ON parents.id = line.ancestor_id
    )
    SELECT CASE
      WHEN bool_or(NOT is_active OR deleted_at IS NOT NULL) THEN 'disabled'
      WHEN min(expires_at) <= at THEN 'expired' END
    FROM line JOIN api_keys ON api_keys.id = line.ancestor_id
  );
END $$;
