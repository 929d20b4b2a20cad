CREATE OR REPLACE FUNCTION fold_api_key_counts() RETURNS void LANGUAGE sql AS $$
  WITH folded AS (
    DELETE FROM api_key_count_changes RETURNING user_id, is_active, keys
  ), sums AS (
    SELECT user_id, is_active, sum(keys) AS keys FROM folded GROUP BY 1, 2
    UNION ALL
    SELECT 0, is_active, sum(keys) FROM folded GROUP BY 2
  )
  INSERT INTO api_key_counts AS counts (user_id, is_active, keys)
    SELECT user_id, is_active, least(keys, 9223372036854775807) FROM sums ORDER BY 1, 2
    ON CONFLICT (user_id, is_active)
    DO UPDATE SET keys = least(counts.keys::numeric + excluded.keys, 9223372036854775807)::bigint;
$$;
