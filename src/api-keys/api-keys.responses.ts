import { ApiSchema } from '@nestjs/swagger';
import { centsFromMicroCents, decimalCentsFromMicroCents } from '../common/money.js';
import { wireInteger } from '../common/wire-integer.js';
import { ResponseField } from '../contract/fields.js';
import { DocumentPage, ListPage } from '../contract/paging.js';
import type { ApiKeyRecord, ApiKeySecretRecord } from './api-key.js';
import { API_KEY_STATES, type ApiKeyState, stateOf } from './api-key.policy.js';

const TIMESTAMP = { type: 'string', format: 'date-time' } as const;
const NULLABLE_TIMESTAMP = { ...TIMESTAMP, nullable: true } as const;
const LIMIT = { type: 'integer', nullable: true, description: 'Null for no limit.' } as const;
const COUNT = { type: 'integer', format: 'int64' } as const;
const DECIMAL_COUNT = { type: 'string', description: 'The exact number.', example: '1024' } as const;
const TEXTS = { type: 'array', items: { type: 'string' } } as const;

@ApiSchema({ name: 'ApiKeySecret' })
export class ApiKeySecretResponse {
  @ResponseField({ type: 'string', example: '9f86d081884c7d65' })
  id!: string;

  @ResponseField({
    type: 'string',
    nullable: true,
    description: 'The first 8 characters; null for a secret that was retired before they were kept.',
    example: 'en_4fT9a',
  })
  key_prefix!: string | null;

  @ResponseField(TIMESTAMP)
  created_at!: string;

  @ResponseField({ ...NULLABLE_TIMESTAMP, description: 'True to within a minute; null when never used.' })
  last_used_at!: string | null;

  @ResponseField({
    ...NULLABLE_TIMESTAMP,
    description: 'When a former secret ends; null for the current one.',
  })
  retires_at!: string | null;
}

@ApiSchema({ name: 'ApiKey' })
export class ApiKeyResponse {
  @ResponseField({ type: 'integer', example: 1 })
  id!: number;

  @ResponseField({ type: 'integer', description: 'The owner.', example: 1 })
  user_id!: number;

  @ResponseField({
    type: 'integer',
    nullable: true,
    description:
      'The key that created this one, and within which it stays; null when a person created it. Its state and its restrictions count as well.',
    example: null,
  })
  parent_key_id!: number | null;

  @ResponseField({ type: 'string', example: 'Billing worker' })
  name!: string;

  @ResponseField({ type: 'string', nullable: true })
  description!: string | null;

  @ResponseField({
    type: 'string',
    description: 'The first 8 characters of the secret: a hint for people.',
    example: 'en_4fT9a',
  })
  key_prefix!: string;

  @ResponseField(TEXTS)
  scopes!: readonly string[];

  @ResponseField({
    type: 'boolean',
    description: 'The switch of the key alone; `state` says what the key is worth.',
  })
  is_active!: boolean;

  @ResponseField(NULLABLE_TIMESTAMP)
  expires_at!: string | null;

  @ResponseField(TIMESTAMP)
  created_at!: string;

  @ResponseField(TIMESTAMP)
  updated_at!: string;

  @ResponseField(NULLABLE_TIMESTAMP)
  last_used_at!: string | null;

  @ResponseField(LIMIT)
  rate_limit_per_minute!: number | null;

  @ResponseField(LIMIT)
  rate_limit_per_hour!: number | null;

  @ResponseField(LIMIT)
  rate_limit_per_day!: number | null;

  @ResponseField(TEXTS)
  allowed_ips!: readonly string[];

  @ResponseField(TEXTS)
  allowed_models!: readonly string[];

  @ResponseField(TEXTS)
  allowed_chatbots!: readonly string[];

  @ResponseField({ type: 'boolean' })
  is_unlimited!: boolean;

  @ResponseField({ type: 'integer', format: 'int64', nullable: true })
  budget_limit_cents!: number | null;

  @ResponseField({ type: 'string', enum: ['total', 'monthly', null], nullable: true })
  budget_type!: string | null;

  @ResponseField(TEXTS)
  tags!: readonly string[];

  @ResponseField({ ...COUNT, description: 'Over the life of the key; 2^53 − 1 for more.' })
  total_requests!: number;

  @ResponseField(DECIMAL_COUNT)
  total_requests_decimal!: string;

  @ResponseField({ ...COUNT, description: 'Over the life of the key; 2^53 − 1 for more.' })
  total_tokens!: number;

  @ResponseField(DECIMAL_COUNT)
  total_tokens_decimal!: string;

  @ResponseField({ ...COUNT, description: 'Over the life of the key, rounded half up; 2^53 − 1 for more.' })
  total_cost_cents!: number;

  @ResponseField({ type: 'string', description: 'The exact cost in cents.', example: '12.000350' })
  total_cost_cents_decimal!: string;

  @ResponseField({
    type: 'string',
    enum: [...API_KEY_STATES],
    description:
      'Only an `active` key is valid. The first that applies: `owner_disabled`, `quarantined` (reserved), `inactive`, `expired`, `active`.',
  })
  state!: ApiKeyState;

  @ResponseField({
    type: () => [ApiKeySecretResponse],
    description:
      'The current secret, then those in their grace period. The secrets themselves are never shown.',
  })
  secrets!: ApiKeySecretResponse[];
}

@ApiSchema({ name: 'ApiKeyWithSecret' })
export class ApiKeyWithSecretResponse {
  @ResponseField({ type: () => ApiKeyResponse })
  api_key!: ApiKeyResponse;

  @ResponseField({
    type: 'string',
    nullable: true,
    description: 'The secret, shown this once; null when an Idempotency-Key was sent again.',
  })
  secret_key!: string | null;
}

@DocumentPage()
@ApiSchema({ name: 'ApiKeyList' })
export class ApiKeyListResponse extends ListPage {
  @ResponseField({ type: () => [ApiKeyResponse] })
  api_keys!: ApiKeyResponse[];

  @ResponseField({
    type: 'integer',
    format: 'int64',
    description:
      'How many keys there are in all; at least so many, when `total_is_exact` is false. With a cursor, as counted for the page it came from.',
  })
  total!: number;

  @ResponseField({
    type: 'boolean',
    description: 'False when a filter matches more than 10 000 keys: they are not counted further.',
  })
  total_is_exact!: boolean;
}

/** A key as it is shown at `now`. */
export function toApiKeyResponse(apiKey: ApiKeyRecord, now: Date): ApiKeyResponse {
  const { totals } = apiKey;
  return {
    id: apiKey.id,
    user_id: apiKey.userId,
    parent_key_id: apiKey.parentKeyId,
    name: apiKey.name,
    description: apiKey.description,
    key_prefix: apiKey.keyPrefix,
    scopes: apiKey.scopes,
    is_active: apiKey.isActive,
    expires_at: apiKey.expiresAt?.toISOString() ?? null,
    created_at: apiKey.createdAt.toISOString(),
    updated_at: apiKey.updatedAt.toISOString(),
    last_used_at: totals.lastUsedAt?.toISOString() ?? null,
    rate_limit_per_minute: apiKey.rateLimitPerMinute,
    rate_limit_per_hour: apiKey.rateLimitPerHour,
    rate_limit_per_day: apiKey.rateLimitPerDay,
    allowed_ips: apiKey.allowedIps,
    allowed_models: apiKey.allowedModels,
    allowed_chatbots: apiKey.allowedChatbots,
    is_unlimited: apiKey.isUnlimited,
    budget_limit_cents: apiKey.budgetLimitCents,
    budget_type: apiKey.budgetType,
    tags: apiKey.tags,
    total_requests: wireInteger(totals.requests),
    total_requests_decimal: totals.requests.toString(),
    total_tokens: wireInteger(totals.tokens),
    total_tokens_decimal: totals.tokens.toString(),
    total_cost_cents: centsFromMicroCents(totals.costMicroCents),
    total_cost_cents_decimal: decimalCentsFromMicroCents(totals.costMicroCents),
    state: stateOf(apiKey, now),
    secrets: apiKey.secrets
      .filter(({ retiresAt }) => retiresAt === null || retiresAt > now)
      .map(toSecretResponse),
  };
}

function toSecretResponse(secret: ApiKeySecretRecord): ApiKeySecretResponse {
  return {
    id: secret.id,
    key_prefix: secret.keyPrefix,
    created_at: secret.createdAt.toISOString(),
    last_used_at: secret.lastUsedAt?.toISOString() ?? null,
    retires_at: secret.retiresAt?.toISOString() ?? null,
  };
}
