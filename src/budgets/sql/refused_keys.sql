-- Which of these keys get no hold whatever their budget has room for, and why: a verdict would refuse them before it looks
-- at what is asked of them. unknown_key: there is none or it was deleted. disabled: the key, one that it came from,
-- or its owner. expired: the first of them.
CREATE OR REPLACE FUNCTION refused_keys(keys bigint[], at timestamptz) RETURNS TABLE (api_key_id bigint, refusal text)
LANGUAGE sql STABLE AS $$
  SELECT asked.id, CASE
    WHEN found.id IS NULL THEN 'unknown_key'
    WHEN NOT found.is_active OR NOT found.is_owner_active THEN 'disabled'
    ELSE 'expired' END
  FROM unnest(keys) AS asked (id)
  LEFT JOIN LATERAL (
    SELECT api_keys.id, api_keys.is_active AND coalesce(above.are_active, true) AS is_active,
      least(api_keys.expires_at, above.expires_at) AS expires_at,
      (SELECT users.is_active AND users.deleted_at IS NULL FROM users WHERE users.id = api_keys.user_id) AS is_owner_active
    FROM api_keys
    LEFT JOIN LATERAL (
      SELECT bool_and((ancestor ->> 'is_active')::boolean) AS are_active,
        min((ancestor ->> 'expires_at')::timestamptz) AS expires_at
      FROM json_array_elements(
        CASE WHEN api_keys.parent_key_id IS NOT NULL THEN api_key_ancestors(api_keys.id) END) AS ancestor
    ) AS above ON true
    WHERE api_keys.id = asked.id AND api_keys.deleted_at IS NULL LIMIT 1
  ) AS found ON true
  WHERE found.id IS NULL OR NOT found.is_active OR NOT found.is_owner_active OR found.expires_at <= at
$$;
