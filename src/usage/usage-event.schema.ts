import { crc32 } from 'node:zlib';
import type { FromSchema } from 'json-schema-to-ts';
import type { FieldError } from '../common/app-error.js';
import { parseCents } from '../common/money.js';
import type { Redactor } from '../common/redactor.js';
import { component } from '../contract/components.js';
import { parseTimestamp } from '../contract/input-checks.js';
import { schemaValidator } from '../contract/schema-validator.js';
import { NO_SECRETS } from '../contract/secret-text.js';
import { CENTS } from '../contract/wire-schemas.js';
import type { UsageEvent } from './usage-event.js';

const MOST_TOKENS = 1_000_000_000;
const DAY_MS = 86_400_000;
/** How far back, and ahead, an event may have occurred. */
const OLDEST_MS = 30 * DAY_MS;
const AHEAD_MS = 5 * 60_000;
const UUID = '^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$';

const LONGEST_REQUEST_ID = 200;
const TOKENS = { type: 'integer', minimum: 0, maximum: MOST_TOKENS } as const;

/** One request made with a key, as it is reported. Validates and documents: there is no second description. */
export const USAGE_EVENT_SCHEMA = component('UsageEvent', {
  type: 'object',
  description: 'One request that was made with a key.',
  required: [
    'api_key_id',
    'request_id',
    'endpoint',
    'method',
    'request_tokens',
    'response_tokens',
    'cost_cents',
  ],
  additionalProperties: false,
  properties: {
    api_key_id: {
      type: 'integer',
      minimum: 1,
      maximum: Number.MAX_SAFE_INTEGER,
      description: 'The key it was made with.',
    },
    request_id: {
      type: 'string',
      minLength: 1,
      maxLength: LONGEST_REQUEST_ID,
      description: 'The caller’s own: the same key and id count once for at least 31 days. Not `hold:…`.',
    },
    endpoint: {
      type: 'string',
      minLength: 1,
      maxLength: 500,
      description: 'What was called.',
      examples: ['/v1/chat/completions'],
    },
    method: {
      type: 'string',
      minLength: 1,
      maxLength: 20,
      description: 'The HTTP method.',
      examples: ['POST'],
    },
    model: {
      type: ['string', 'null'],
      minLength: 1,
      maxLength: 200,
      description: 'The model that answered; null for none.',
    },
    request_tokens: { ...TOKENS, description: 'Tokens that were sent.' },
    response_tokens: { ...TOKENS, description: 'Tokens that came back.' },
    cost_cents: {
      ...CENTS,
      description: 'What it cost.',
    },
    status_code: {
      type: ['integer', 'null'],
      minimum: 100,
      maximum: 599,
      description: 'The HTTP status of the answer.',
    },
    response_time_ms: {
      type: ['integer', 'null'],
      minimum: 0,
      maximum: DAY_MS,
      description: 'How long it took, in milliseconds.',
    },
    occurred_at: {
      type: 'string',
      format: 'date-time',
      maxLength: 40,
      description: 'Within the last 30 days and at most 5 minutes ahead. Default: the time of receipt.',
      examples: ['2026-11-22T08:12:00.000Z'],
    },
    hold_id: {
      type: ['string', 'null'],
      format: 'uuid',
      pattern: UUID,
      description: 'The hold that this event settles.',
    },
  },
});

type UsageEventBody = FromSchema<typeof USAGE_EVENT_SCHEMA>;

/** An event that may be recorded, or every rule that it breaks. */
export type CheckedEvent =
  | { readonly kind: 'event'; readonly event: UsageEvent }
  | { readonly kind: 'invalid'; readonly errors: readonly FieldError[] };

const validate = schemaValidator(USAGE_EVENT_SCHEMA);

/**
 * Checks one reported event on its own. A secret in its endpoint or model is masked: the usage has to be counted
 * anyway. One in its request id is refused, since masked ids would no longer differ.
 */
export function checkUsageEvent(reported: unknown, now: Date, redactor: Redactor): CheckedEvent {
  const broken = validate(reported);
  if (broken.length > 0) return { kind: 'invalid', errors: everyError(broken, reported, now, redactor) };
  const value = reported as UsageEventBody;
  const costMicroCents = parseCents(value.cost_cents);
  const occurredAt = value.occurred_at === undefined ? now : parseTimestamp(value.occurred_at);
  const errors = [
    ...timeErrors(occurredAt, now),
    ...textErrors(value, redactor),
    ...costErrors(costMicroCents),
  ];
  if (errors.length > 0 || costMicroCents === undefined || !(occurredAt instanceof Date))
    return { kind: 'invalid', errors };
  return {
    kind: 'event',
    event: {
      apiKeyId: value.api_key_id,
      requestId: value.request_id,
      endpoint: redactor.maskText(value.endpoint),
      method: value.method,
      model: value.model ? redactor.maskText(value.model) : null,
      requestTokens: value.request_tokens,
      responseTokens: value.response_tokens,
      costMicroCents,
      statusCode: value.status_code ?? null,
      responseTimeMs: value.response_time_ms ?? null,
      occurredAt,
      holdId: value.hold_id ?? null,
      contentDigest: digestOf(value, costMicroCents),
    },
  };
}

/** The prefix of request ids that the service gives to settlements. */
export const RESERVED_REQUEST_ID = 'hold:';

/** A signed 32 bit digest by which two events with one request id are compared. Includes the time only when it was reported. */
function digestOf(event: UsageEventBody, costMicroCents: bigint): number {
  const content = [
    event.endpoint,
    event.method,
    event.model,
    event.request_tokens,
    event.response_tokens,
    costMicroCents,
    event.status_code,
    event.response_time_ms,
    event.occurred_at,
    event.hold_id?.toLowerCase(),
  ];
  return crc32(content.join('\0')) | 0;
}

/** What the schema says of a value that breaks it, and what the rules beyond it say of its other fields. */
function everyError(
  errors: readonly FieldError[],
  value: unknown,
  now: Date,
  redactor: Redactor,
): readonly FieldError[] {
  if (typeof value !== 'object' || value === null) return errors;
  const body = value as Partial<Record<keyof UsageEventBody, unknown>>;
  const further = [
    ...textErrors(body, redactor),
    ...(body.occurred_at === undefined ? [] : timeErrors(parseTimestamp(body.occurred_at), now)),
    ...(body.cost_cents === undefined ? [] : costErrors(parseCents(body.cost_cents))),
  ];
  const named = new Set(errors.map(({ field }) => field));
  return [...errors, ...further.filter(({ field }) => !named.has(field))];
}

function costErrors(costMicroCents: bigint | undefined): FieldError[] {
  const message = 'must be an amount from 0 to 1000000000000 with at most six decimals';
  return costMicroCents === undefined ? [{ field: 'cost_cents', message }] : [];
}

function timeErrors(occurredAt: unknown, now: Date): FieldError[] {
  const field = 'occurred_at';
  if (!(occurredAt instanceof Date)) {
    return [
      { field, message: 'must be an ISO 8601 timestamp with a time zone, such as 2030-01-31T12:00:00Z' },
    ];
  }
  const age = now.getTime() - occurredAt.getTime();
  return age > OLDEST_MS || age < -AHEAD_MS
    ? [{ field, message: 'must lie within the last 30 days and at most 5 minutes ahead' }]
    : [];
}

const TEXTS = ['request_id', 'endpoint', 'method', 'model'] as const;

/** The texts that PostgreSQL cannot store, and a request id that must not be stored. */
function textErrors(
  body: Partial<Record<(typeof TEXTS)[number], unknown>>,
  redactor: Redactor,
): FieldError[] {
  const unstorable = TEXTS.filter((field) => {
    const text = body[field];
    return typeof text === 'string' && (text.includes('\0') || !text.isWellFormed());
  }).map((field) => ({ field, message: 'must not hold NUL characters or lone surrogates' }));
  return [...unstorable, ...requestIdErrors(body.request_id, redactor)];
}

/**
 * Why the id of an event or a hold is refused: it is reserved for settlements, or holds a secret. One that is too long is
 * refused for its length, and not searched.
 */
export function requestIdErrors(requestId: unknown, redactor: Redactor): FieldError[] {
  const isSearched = typeof requestId === 'string' && requestId.length <= LONGEST_REQUEST_ID;
  if (!isSearched) return [];
  const field = 'request_id';
  if (requestId.startsWith(RESERVED_REQUEST_ID))
    return [{ field, message: `must not begin with ${RESERVED_REQUEST_ID}` }];
  return redactor.holdsSecret(requestId) ? [{ field, message: NO_SECRETS }] : [];
}
