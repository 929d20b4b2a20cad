-- Which of these keys get no hold whatever their budget has room for, and why: a verdict would refuse them before it looks
-- at what is asked of them. unknown_key: there is none or it was deleted. disabled: the key, its owner, its project or
-- organization, or a key that it came from. expired: the key, or one that it came from.
CREATE OR REPLACE FUNCTION refused_keys(keys bigint[], at timestamptz) RETURNS TABLE (api_key_id bigint, refusal text)
LANGUAGE sql STABLE AS $$
  SELECT asked.id, CASE
    WHEN api_keys.id IS NULL THEN 'unknown_key'
    WHEN NOT api_keys.is_active OR NOT users.is_active OR users.deleted_at IS NOT NULL
      OR NOT projects.is_active OR NOT organizations.is_active
      OR api_keys.parent_key_id IS NOT NULL AND refusal_of_ancestors(api_keys.id, at) = 'disabled' THEN 'disabled'
    ELSE 'expired' END
  FROM unnest(keys) AS asked (id)
  LEFT JOIN api_keys ON api_keys.id = asked.id AND api_keys.deleted_at IS NULL
  LEFT JOIN users ON users.id = api_keys.user_id
  LEFT JOIN projects ON projects.id = api_keys.project_id
  LEFT JOIN organizations ON organizations.id = api_keys.organization_id
  WHERE api_keys.id IS NULL OR NOT api_keys.is_active OR api_keys.expires_at <= at OR NOT users.is_active
    OR users.deleted_at IS NOT NULL OR NOT projects.is_active OR NOT organizations.is_active
    OR api_keys.parent_key_id IS NOT NULL AND refusal_of_ancestors(api_keys.id, at) IS NOT NULL
$$;
