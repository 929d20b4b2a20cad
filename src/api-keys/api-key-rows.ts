import {
  type ApiKeyCore,
  type ApiKeyLife,
  type ApiKeyRecord,
  type ApiKeySecretRecord,
  type ApiKeyTotals,
  type InactiveReason,
  type OwnerKind,
  POLICY_COLUMNS,
  type PolicyRow,
  toPolicy,
} from './api-key.js';

const CORE_COLUMNS = `keys.id, keys.user_id, keys.organization_id, keys.project_id, keys.owner_kind, keys.inactive_reason, keys.parent_key_id, keys.key_prefix, keys.version, keys.created_at, keys.updated_at,
  ${POLICY_COLUMNS.map((column) => `keys.${column}`).join(', ')}`;

/** Counters can pass 2^53, so they are read as text. */
const TOTALS_COLUMNS = `
  totals.requests::text AS total_requests, totals.tokens::text AS total_tokens,
  totals.cost_micro_cents::text AS total_cost_micro_cents, totals.last_used_at`;

/** The id of a secret in SQL, as `secretIdOf` makes it. */
export const SECRET_ID = `encode(substr(sha256(digest), 1, 8), 'hex')`;

/** Read by two indexes, one over current and one over retiring secrets. */
const secretsWhere = (condition: string) => `
      SELECT ${SECRET_ID} AS id, key_prefix, created_at, last_used_at, retires_at
      FROM api_key_secrets WHERE api_key_id = keys.id AND ${condition}`;

/** The secrets of `keys.id`: the current one, then the retiring ones, next to end first. An array of `SecretRow`. */
export const SECRETS_OF_KEY = `ARRAY(
    SELECT to_json(secrets) FROM (${secretsWhere('retires_at IS NULL')} UNION ALL ${secretsWhere('retires_at IS NOT NULL')}
    ) AS secrets ORDER BY secrets.retires_at NULLS FIRST
  )`;

/** Whether the project and the organization of a key let it live; tables `projects` and `organizations`. */
export const IS_SCOPE_ACTIVE = `(projects.is_active AND projects.deleted_at IS NULL
    AND organizations.is_active AND organizations.deleted_at IS NULL)`;

/** The columns of `ApiKeyRow`; tables `keys`, `owners`, `projects`, `organizations` and `totals`. */
export const API_KEY_COLUMNS = `${CORE_COLUMNS}, ${TOTALS_COLUMNS},
  owners.is_active AND owners.deleted_at IS NULL AS is_owner_active, ${IS_SCOPE_ACTIVE} AS is_scope_active, ${SECRETS_OF_KEY} AS secrets,
  CASE WHEN keys.parent_key_id IS NOT NULL THEN api_key_ancestors(keys.id) END AS ancestors`;

/** What those columns are read from beside `keys`. */
export const WITH_OWNER_AND_TOTALS = `
  JOIN users AS owners ON owners.id = keys.user_id
  JOIN projects ON projects.id = keys.project_id
  JOIN organizations ON organizations.id = keys.organization_id
  LEFT JOIN api_key_totals AS totals ON totals.api_key_id = keys.id`;

/** Reads keys without their totals; a condition on `keys` follows. */
export const SELECT_API_KEY_CORE = `SELECT ${CORE_COLUMNS} FROM api_keys AS keys`;

/** Reads keys with all that is shown of them; a condition on `keys` follows. */
export const SELECT_API_KEY = `
  SELECT ${API_KEY_COLUMNS}
  FROM api_keys AS keys ${WITH_OWNER_AND_TOTALS}`;

/** A row of `SELECT_API_KEY_CORE`. */
export type ApiKeyCoreRow = PolicyRow & {
  readonly id: number;
  readonly user_id: number;
  readonly organization_id: number;
  readonly project_id: number;
  readonly owner_kind: OwnerKind;
  readonly inactive_reason: InactiveReason | null;
  readonly parent_key_id: number | null;
  readonly key_prefix: string;
  readonly version: number;
  readonly created_at: Date;
  readonly updated_at: Date;
};

/** A secret as JSON: timestamps are text. */
export interface SecretRow {
  readonly id: string;
  readonly key_prefix: string | null;
  readonly created_at: string;
  readonly last_used_at: string | null;
  readonly retires_at: string | null;
}

/** A key that another one came from, as JSON. */
interface AncestorRow {
  readonly is_active: boolean;
  readonly deleted_at: string | null;
  readonly expires_at: string | null;
}

/** What a key was used for; nulls when it was not. */
interface TotalsRow {
  readonly total_requests: string | null;
  readonly total_tokens: string | null;
  readonly total_cost_micro_cents: string | null;
  readonly last_used_at: Date | null;
}

/** A row of `SELECT_API_KEY`. */
export type ApiKeyRow = ApiKeyCoreRow &
  TotalsRow & {
    readonly is_owner_active: boolean;
    readonly is_scope_active: boolean;
    readonly secrets: SecretRow[];
    readonly ancestors: readonly AncestorRow[] | null;
  };

export function toApiKeyRecord(row: ApiKeyRow): ApiKeyRecord {
  return {
    ...toApiKeyCore(row),
    isOwnerActive: row.is_owner_active,
    isScopeActive: row.is_scope_active,
    ancestors: (row.ancestors ?? []).map(toAncestor),
    secrets: row.secrets.map((secret) => toSecretRecord(secret, row.key_prefix)),
    totals: toApiKeyTotals(row),
  };
}

/** Nothing was used when a key has no row of totals. */
function toApiKeyTotals(row: TotalsRow): ApiKeyTotals {
  return {
    requests: BigInt(row.total_requests ?? 0),
    tokens: BigInt(row.total_tokens ?? 0),
    costMicroCents: BigInt(row.total_cost_micro_cents ?? 0),
    lastUsedAt: row.last_used_at,
  };
}

export function toApiKeyCore(row: ApiKeyCoreRow): ApiKeyCore {
  return {
    ...toPolicy(row),
    id: row.id,
    userId: row.user_id,
    organizationId: row.organization_id,
    projectId: row.project_id,
    ownerKind: row.owner_kind,
    inactiveReason: row.inactive_reason,
    parentKeyId: row.parent_key_id,
    keyPrefix: row.key_prefix,
    version: row.version,
    createdAt: row.created_at,
    updatedAt: row.updated_at,
  };
}

/** The hint of a current secret is that of its key, also where it was stored before secrets kept their own. */
export function toSecretRecord(row: SecretRow, currentPrefix: string): ApiKeySecretRecord {
  return {
    id: row.id,
    keyPrefix: row.retires_at === null ? currentPrefix : row.key_prefix,
    createdAt: new Date(row.created_at),
    lastUsedAt: row.last_used_at === null ? null : new Date(row.last_used_at),
    retiresAt: row.retires_at === null ? null : new Date(row.retires_at),
  };
}

/** One that was deleted counts as inactive. */
function toAncestor(row: AncestorRow): ApiKeyLife {
  return {
    isActive: row.is_active && row.deleted_at === null,
    expiresAt: row.expires_at === null ? null : new Date(row.expires_at),
  };
}
