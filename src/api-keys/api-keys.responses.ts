import { ApiSchema } from '@nestjs/swagger';
import { bareClass } from '../common/bare-class.js';
import { centsFromMicroCents, decimalCentsFromMicroCents } from '../common/money.js';
import { wireInteger } from '../common/wire-integer.js';
import { ResponseField } from '../contract/fields.js';
import { EndsWithPagePart, PagePart } from '../contract/paging.js';
import { COUNT, DECIMAL_COUNT, ID, openEnum, TIMESTAMP } from '../contract/wire-schemas.js';
import {
  type ApiKeyRecord,
  type ApiKeySecretRecord,
  INACTIVE_REASONS,
  type InactiveReason,
  OWNER_KINDS,
  type OwnerKind,
  type ShownPolicy,
  toShownPolicy,
} from './api-key.js';
import { shownField } from './api-key-field.decorators.js';
import { FIELD_NAMES, type FieldName, fieldOf, wireNameOf } from './api-key.fields.js';
import { API_KEY_STATES, type ApiKeyState, stateOf } from './api-key.policy.js';

const NULLABLE_TIMESTAMP = { ...TIMESTAMP, nullable: true } as const;

@ApiSchema({ name: 'ApiKeySecret' })
export class ApiKeySecretResponse {
  @ResponseField({ type: 'string', description: 'Names the secret.', example: '9f86d081884c7d65' })
  id!: string;

  @ResponseField({
    type: 'string',
    nullable: true,
    description: 'The first 8 characters; null for a secret that was retired before they were kept.',
    example: 'en_4fT9a',
  })
  key_prefix!: string | null;

  @ResponseField({ ...TIMESTAMP, description: 'When it was created.' })
  created_at!: string;

  @ResponseField({ ...NULLABLE_TIMESTAMP, description: 'True to within a minute; null when never used.' })
  last_used_at!: string | null;

  @ResponseField({
    ...NULLABLE_TIMESTAMP,
    description: 'When a former secret ends; null for the current one.',
  })
  retires_at!: string | null;
}

/** Its members are documented by `After`. */
const Policy = bareClass() as new () => ShownPolicy;
const OTHER_FIELDS = FIELD_NAMES.slice(FIELD_NAMES.indexOf('expiresAt') + 1);

/** Documents fields of the policy before the member that this stands on. */
function After(...names: readonly FieldName[]): PropertyDecorator {
  return (target) => {
    for (const name of names) shownField(fieldOf(name))(target, wireNameOf(name));
  };
}

@ApiSchema({ name: 'ApiKey' })
export class ApiKeyResponse extends Policy {
  @ResponseField({ ...ID, description: 'Names the key.', example: 1 })
  id!: number;

  @ResponseField({ ...ID, description: 'The owner.', example: 1 })
  user_id!: number;

  @ResponseField(openEnum(OWNER_KINDS, 'What the owner is: a person, or a service account of the project.'))
  owner_kind!: OwnerKind;

  @ResponseField({ ...ID, description: 'The organization that it is in.', example: 1 })
  organization_id!: number;

  @ResponseField({ ...ID, description: 'The project that it is in.', example: 1 })
  project_id!: number;

  @ResponseField({
    ...ID,
    nullable: true,
    description:
      'The key that created this one, and within which it stays; null when a person created it. Its state and its restrictions count as well.',
    example: null,
  })
  parent_key_id!: number | null;

  @ResponseField({
    type: 'string',
    description: 'The first 8 characters of the secret: a hint for people.',
    example: 'en_4fT9a',
  })
  @After('name', 'description')
  key_prefix!: string;

  @ResponseField({ ...TIMESTAMP, description: 'When the key was created.' })
  @After('scopes', 'isActive', 'expiresAt')
  created_at!: string;

  @ResponseField({ ...TIMESTAMP, description: 'When its policy last changed.' })
  updated_at!: string;

  @ResponseField({ ...NULLABLE_TIMESTAMP, description: 'True to within a minute; null when never used.' })
  last_used_at!: string | null;

  @ResponseField({ ...COUNT, description: 'Over the life of the key; 2^53 − 1 for more.' })
  @After(...OTHER_FIELDS)
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

  @ResponseField(
    openEnum(
      API_KEY_STATES,
      'Only an `active` key is valid. The first that applies: `owner_disabled`, `scope_disabled` (its project or organization), `quarantined` (reserved), `inactive`, `expired`, `active`.',
    ),
  )
  state!: ApiKeyState;

  @ResponseField({
    ...openEnum(
      INACTIVE_REASONS,
      'Why it is not active, where that came from elsewhere than a change of the key: `owner_left`, its owner was removed from the project or the organization. Null otherwise.',
    ),
    nullable: true,
  })
  inactive_reason!: InactiveReason | null;

  @ResponseField({
    type: () => [ApiKeySecretResponse],
    description:
      'The current secret, then those in their grace period. The secrets themselves are never shown.',
  })
  secrets!: ApiKeySecretResponse[];
}

@ApiSchema({ name: 'ApiKeyWithSecret' })
export class ApiKeyWithSecretResponse {
  @ResponseField({ type: () => ApiKeyResponse, description: 'The key.' })
  api_key!: ApiKeyResponse;

  @ResponseField({
    type: 'string',
    nullable: true,
    description: 'The secret, shown this once; null when an Idempotency-Key was sent again.',
  })
  secret_key!: string | null;
}

@EndsWithPagePart()
@ApiSchema({ name: 'ApiKeyList' })
export class ApiKeyListResponse extends PagePart {
  @ResponseField({ type: () => [ApiKeyResponse], description: 'A page of keys.' })
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
  const { name, description, scopes, is_active, expires_at, ...others } = toShownPolicy(apiKey);
  return {
    id: apiKey.id,
    user_id: apiKey.userId,
    owner_kind: apiKey.ownerKind,
    organization_id: apiKey.organizationId,
    project_id: apiKey.projectId,
    parent_key_id: apiKey.parentKeyId,
    name,
    description,
    key_prefix: apiKey.keyPrefix,
    scopes,
    is_active,
    expires_at,
    created_at: apiKey.createdAt.toISOString(),
    updated_at: apiKey.updatedAt.toISOString(),
    last_used_at: totals.lastUsedAt?.toISOString() ?? null,
    ...others,
    total_requests: wireInteger(totals.requests),
    total_requests_decimal: totals.requests.toString(),
    total_tokens: wireInteger(totals.tokens),
    total_tokens_decimal: totals.tokens.toString(),
    total_cost_cents: centsFromMicroCents(totals.costMicroCents),
    total_cost_cents_decimal: decimalCentsFromMicroCents(totals.costMicroCents),
    state: stateOf(apiKey, now),
    inactive_reason: apiKey.inactiveReason,
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
