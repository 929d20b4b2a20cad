import type { BudgetType } from './api-key.entity.js';
import type { ApiKeyCore, ApiKeyRecord, ApiKeyTotals } from './api-key.js';

const CORE_COLUMNS = `
  keys.id, keys.user_id, keys.parent_key_id, keys.name, keys.description, keys.key_prefix, keys.scopes, keys.is_active,
  keys.expires_at, keys.rate_limit_per_minute, keys.rate_limit_per_hour, keys.rate_limit_per_day, keys.allowed_ips,
  keys.allowed_models, keys.allowed_chatbots, keys.is_unlimited, keys.budget_limit_cents, keys.budget_type, keys.tags,
  keys.version, keys.created_at, keys.updated_at`;

/** Counters can pass 2^53, so they are read as text. */
const TOTALS_COLUMNS = `
  totals.requests::text AS total_requests, totals.tokens::text AS total_tokens,
  totals.cost_micro_cents::text AS total_cost_micro_cents, totals.last_used_at`;

/** The columns of a key with its totals, for statements that answer `ApiKeyRow`; tables `keys` and `totals`. */
export const API_KEY_COLUMNS = `${CORE_COLUMNS}, ${TOTALS_COLUMNS}`;

/** Reads keys without their totals; a condition on `keys` follows. */
export const SELECT_API_KEY_CORE = `SELECT ${CORE_COLUMNS} FROM api_keys AS keys`;

/** Reads what a key was used for: a `TotalsRow`; a condition on `totals` follows. */
export const SELECT_TOTALS = `SELECT ${TOTALS_COLUMNS} FROM api_key_totals AS totals`;

/** Reads keys with their totals; a condition on `keys` follows. */
export const SELECT_API_KEY = `
  SELECT ${API_KEY_COLUMNS}
  FROM api_keys AS keys LEFT JOIN api_key_totals AS totals ON totals.api_key_id = keys.id`;

/** A row of `SELECT_API_KEY_CORE`. */
export interface ApiKeyCoreRow {
  readonly id: number;
  readonly user_id: number;
  readonly parent_key_id: number | null;
  readonly name: string;
  readonly description: string | null;
  readonly key_prefix: string;
  readonly scopes: string[];
  readonly is_active: boolean;
  readonly expires_at: Date | null;
  readonly rate_limit_per_minute: number | null;
  readonly rate_limit_per_hour: number | null;
  readonly rate_limit_per_day: number | null;
  readonly allowed_ips: string[];
  readonly allowed_models: string[];
  readonly allowed_chatbots: string[];
  readonly is_unlimited: boolean;
  readonly budget_limit_cents: number | null;
  readonly budget_type: BudgetType | null;
  readonly tags: string[];
  readonly version: number;
  readonly created_at: Date;
  readonly updated_at: Date;
}

/** What a key was used for; nulls when it was not. */
export interface TotalsRow {
  readonly total_requests: string | null;
  readonly total_tokens: string | null;
  readonly total_cost_micro_cents: string | null;
  readonly last_used_at: Date | null;
}

/** A row of `SELECT_API_KEY`. */
export type ApiKeyRow = ApiKeyCoreRow & TotalsRow;

export function toApiKeyRecord(row: ApiKeyRow): ApiKeyRecord {
  return { ...toApiKeyCore(row), totals: toApiKeyTotals(row) };
}

/** The totals of a key; nothing was used when it has no row. */
export function toApiKeyTotals(row: TotalsRow | undefined): ApiKeyTotals {
  return {
    requests: BigInt(row?.total_requests ?? 0),
    tokens: BigInt(row?.total_tokens ?? 0),
    costMicroCents: BigInt(row?.total_cost_micro_cents ?? 0),
    lastUsedAt: row?.last_used_at ?? null,
  };
}

export function toApiKeyCore(row: ApiKeyCoreRow): ApiKeyCore {
  return {
    id: row.id,
    userId: row.user_id,
    parentKeyId: row.parent_key_id,
    name: row.name,
    description: row.description,
    keyPrefix: row.key_prefix,
    scopes: row.scopes,
    isActive: row.is_active,
    expiresAt: row.expires_at,
    rateLimitPerMinute: row.rate_limit_per_minute,
    rateLimitPerHour: row.rate_limit_per_hour,
    rateLimitPerDay: row.rate_limit_per_day,
    allowedIps: row.allowed_ips,
    allowedModels: row.allowed_models,
    allowedChatbots: row.allowed_chatbots,
    isUnlimited: row.is_unlimited,
    budgetLimitCents: row.budget_limit_cents,
    budgetType: row.budget_type,
    tags: row.tags,
    version: row.version,
    createdAt: row.created_at,
    updatedAt: row.updated_at,
  };
}
