-- The keys that a key came from, nearest first, as whole rows: a field that is added needs no change here. Null for a key
-- that a person created.
CREATE OR REPLACE FUNCTION api_key_ancestors(key bigint) RETURNS json LANGUAGE plpgsql STABLE SET plan_cache_mode = force_generic_plan SET enable_seqscan = off AS $$
BEGIN
  RETURN (
    WITH RECURSIVE line AS (
      SELECT parent_key_id AS ancestor_id FROM api_keys WHERE id = key
      UNION ALL
      SELECT parents.parent_key_id FROM line JOIN api_keys AS parents ON parents.id = line.ancestor_id
    )
    SELECT json_agg(ancestors ORDER BY ancestors.id DESC)
    FROM line JOIN api_keys AS ancestors ON ancestors.id = line.ancestor_id
  );
END $$;
