/** The statements of Latchkey, as PostgreSQL's log shows them. Those with a name are prepared once per connection. */

const COLUMNS = `keys.id, keys.user_id, keys.name, keys.description, keys.key_prefix, keys.scopes, keys.is_active, keys.expires_at,
  keys.rate_limit_per_minute, keys.rate_limit_per_hour, keys.rate_limit_per_day, keys.allowed_ips,
  keys.allowed_models, keys.allowed_chatbots, keys.is_unlimited, keys.budget_limit_cents, keys.budget_type, keys.tags,
  keys.version, keys.created_at, keys.updated_at, totals.requests AS total_requests, totals.tokens AS total_tokens,
  totals.cost_micro_cents::text AS total_cost_micro_cents, totals.last_used_at`;

const POLICY =
  'name description scopes is_active expires_at rate_limit_per_minute rate_limit_per_hour rate_limit_per_day allowed_ips allowed_models allowed_chatbots is_unlimited budget_limit_cents budget_type tags'.split(
    ' ',
  );

const KEYS_WITH_TOTALS = 'api_keys AS keys LEFT JOIN api_key_totals AS totals ON totals.api_key_id = keys.id';

const AUDIT_COLUMNS = `id, created_at, user_id, api_key_id, action, resource_type, resource_id, details,
  ip_address, user_agent, request_id, success`;

/** @param {string} condition */
const page = (condition) => `SELECT ${COLUMNS}
  FROM ( SELECT keys.id FROM api_keys AS keys WHERE keys.deleted_at IS NULL${condition}
    ORDER BY keys.id DESC LIMIT $1 OFFSET $2 ) AS page
  JOIN api_keys AS keys ON keys.id = page.id
  LEFT JOIN api_key_totals AS totals ON totals.api_key_id = keys.id ORDER BY keys.id DESC`;

/** @param {string} changesOf */
const count = (changesOf) => `SELECT (
  coalesce((SELECT sum(keys) FROM api_key_counts WHERE user_id = $1 AND ($2::boolean IS NULL OR is_active = $2)), 0)
  + coalesce((SELECT sum(keys) FROM api_key_count_changes WHERE ($2::boolean IS NULL OR is_active = $2) ${changesOf}), 0)
  )::bigint AS total`;

export const findPrincipal = {
  name: 'principal',
  text: `SELECT users.id, users.username, users.role, roles.permissions || users.permissions AS permissions
    FROM sessions JOIN users ON users.id = sessions.user_id JOIN roles ON roles.name = users.role
    WHERE sessions.id = $1 AND sessions.user_id = $2 AND sessions.ended_at IS NULL AND sessions.expires_at > $3
      AND users.is_active AND users.deleted_at IS NULL`,
};

export const findApiKey = {
  name: 'find',
  text: `SELECT ${COLUMNS} FROM ${KEYS_WITH_TOTALS} WHERE keys.id = $1 AND keys.deleted_at IS NULL`,
};

export const listApiKeys = { name: 'list', text: page('') };
export const countApiKeys = { name: 'count', text: count('') };
export const listApiKeysOfUser = { name: 'list-own', text: page(' AND keys.user_id = $3') };
export const countApiKeysOfUser = { name: 'count-own', text: count('AND user_id = $1') };

/** Not prepared: the best plan depends on the text that is searched for. */
export const searchApiKeys = `WITH matches AS MATERIALIZED (
    SELECT keys.id FROM api_keys AS keys JOIN api_key_search_texts AS texts ON texts.api_key_id = keys.id
    WHERE keys.deleted_at IS NULL AND texts.text LIKE lower($4) ORDER BY keys.id DESC LIMIT $3
  )
  SELECT found.matches, ${COLUMNS} FROM (SELECT count(*) AS matches FROM matches) AS found
  LEFT JOIN (SELECT id FROM matches ORDER BY id DESC LIMIT $1 OFFSET $2) AS page ON true
  LEFT JOIN api_keys AS keys ON keys.id = page.id
  LEFT JOIN api_key_totals AS totals ON totals.api_key_id = keys.id ORDER BY keys.id DESC`;

export const insertApiKey = {
  name: 'insert',
  text: `WITH new_key AS (
      INSERT INTO api_keys (user_id, key_prefix, created_at, updated_at, ${POLICY.join(', ')})
      SELECT $3, $4, $5, $6, ${POLICY.map((_column, index) => `$${index + 7}`).join(', ')}
      FROM users WHERE users.id = $3 AND users.is_active AND users.deleted_at IS NULL FOR KEY SHARE OF users
      RETURNING id, created_at
    )
    INSERT INTO api_key_secrets (digest, pepper_version, api_key_id, created_at)
    SELECT $1, $2, id, created_at FROM new_key RETURNING api_key_id AS id`,
};
export function insertValues(key, digest) {
  return [
    digest,
    1,
    key.user_id,
    key.key_prefix,
    key.created_at,
    key.updated_at,
    ...POLICY.map((column) => key[column]),
  ];
}

export const lockApiKey = { name: 'lock', text: `${findApiKey.text} FOR NO KEY UPDATE OF keys` };

export const saveApiKey = {
  name: 'save',
  text: `UPDATE api_keys SET key_prefix = $2, version = $3, updated_at = $4,
    ${POLICY.map((column, index) => `${column} = $${index + 5}`).join(', ')} WHERE id = $1`,
};
export function saveValues(key) {
  return [key.id, key.key_prefix, key.version, key.updated_at, ...POLICY.map((column) => key[column])];
}

export const insertAuditLog = {
  name: 'change',
  text: `INSERT INTO audit_logs (${AUDIT_COLUMNS}) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)`,
};

export const insertAuditLogs = {
  name: 'observe',
  text: `INSERT INTO audit_logs (${AUDIT_COLUMNS})
    SELECT id, "createdAt", "userId", "apiKeyId", action, "resourceType", "resourceId", details,
      "ipAddress", "userAgent", "requestId", success
    FROM json_to_recordset($1) AS row ( id uuid, "createdAt" timestamptz, "userId" bigint, "apiKeyId" bigint, action text,
      "resourceType" text, "resourceId" text, details jsonb, "ipAddress" text, "userAgent" text, "requestId" text, success boolean )
    ON CONFLICT DO NOTHING`,
};
