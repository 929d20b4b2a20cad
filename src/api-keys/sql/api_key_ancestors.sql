-- What a key came from, nearest first, as far as it restricts the key. Null for one that a person created.
CREATE OR REPLACE FUNCTION api_key_ancestors(key bigint) RETURNS json LANGUAGE plpgsql STABLE SET plan_cache_mode = force_generic_plan SET enable_seqscan = off AS $$
BEGIN
  RETURN (
    WITH RECURSIVE line AS (
      SELECT parent_key_id AS ancestor_id FROM api_keys WHERE id = key
      UNION ALL
      SELECT parents.parent_key_id FROM line JOIN api_keys AS parents ON parents.id = line.ancestor_id
    )
    SELECT json_agg(json_build_object(
        'id', id, 'version', version, 'is_active', is_active AND deleted_at IS NULL, 'expires_at', expires_at, 'scopes', scopes,
        'allowed_ips', allowed_ips, 'allowed_models', allowed_models, 'allowed_chatbots', allowed_chatbots,
        'rate_limit_per_minute', rate_limit_per_minute, 'rate_limit_per_hour', rate_limit_per_hour,
        'rate_limit_per_day', rate_limit_per_day
      ) ORDER BY id DESC)
    FROM line JOIN api_keys ON api_keys.id = line.ancestor_id
  );
END $$;
