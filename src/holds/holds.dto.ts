import type { FromSchema } from 'json-schema-to-ts';
import { toBudgetResponse } from '../budgets/budget.response.js';
import type { HoldRefusal, HoldWithBudget } from './hold.js';
import type { Reporter } from '../usage/reporter.js';
import { AppError, type FieldError, validationFailed } from '../common/app-error.js';
import { isoTimestamp } from '../common/iso-timestamp.js';
import { decimalCentsFromMicroCents, parseCents } from '../common/money.js';
import { TextField } from '../contract/fields.js';
import type { Redactor } from '../common/redactor.js';
import type { HOLD_REQUEST_SCHEMA, SETTLEMENT_SCHEMA } from './holds.schema.js';
import type { HoldTarget, Settlement } from './holds.service.js';
import { checkUsageEvent, RESERVED_REQUEST_ID, requestIdErrors } from '../usage/usage-event.schema.js';

const UUID = /^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$/;

export class HoldIdParameter {
  @TextField({
    minLength: 36,
    maxLength: 36,
    pattern: { regex: UUID, rule: 'a UUID' },
    format: 'uuid',
    description: 'The id of a hold.',
    example: '019ab1c2-6d9e-7c3a-b5f0-2f1d4a6b8c9d',
  })
  id!: string;
}

type HoldBody = FromSchema<typeof HOLD_REQUEST_SCHEMA>;

/**
 * What a request asks for; `errors` are the rules of the schema that it breaks.
 * @throws AppError `validation.failed` with every broken rule
 */
export function toHoldTarget(
  body: unknown,
  schemaErrors: readonly FieldError[],
  takenBy: Reporter,
  redactor: Redactor,
): HoldTarget {
  const { key, api_key_id: apiKeyId, amount_cents: amount, ttl_seconds, request_id } = bodyOf<HoldBody>(body);
  const amountMicroCents = parseCents(amount);
  const errors = schemaErrors.filter(
    ({ field, message }) => field !== 'amount_cents' || message === 'is required',
  );
  if (amount !== undefined && (amountMicroCents === undefined || amountMicroCents === 0n))
    errors.push({ field: 'amount_cents', message: AMOUNT_RULE });
  if (schemaErrors.every(({ field }) => field !== 'body') && (key === undefined) === (apiKeyId === undefined))
    errors.push({ field: 'api_key_id', message: 'is needed unless key is sent, and never both' });
  if (errors.every(({ field }) => field !== 'request_id'))
    errors.push(...requestIdErrors(request_id, redactor));
  if (errors.length > 0 || amountMicroCents === undefined) throw validationFailed(errors);
  const request = {
    amountMicroCents,
    ttlSeconds: ttl_seconds ?? 0,
    requestId: request_id ?? null,
    takenBy,
  };
  return key === undefined
    ? { kind: 'id', apiKeyId: apiKeyId ?? 0, request }
    : { kind: 'secret', secret: key, request };
}

const AMOUNT_RULE = 'must be an amount above 0, at most 1000000000000, with at most six decimals';

/**
 * The event that settles a hold. Only its cost is required; by default the event is named after the hold.
 * @throws AppError `validation.failed`
 */
export function toSettlement(body: unknown, id: string, now: Date, redactor: Redactor): Settlement {
  const holdId = id.toLowerCase();
  const sent = bodyOf<FromSchema<typeof SETTLEMENT_SCHEMA>>(body);
  const event = { ...UNTOLD, hold_id: holdId, ...sent };
  const checked = checkUsageEvent(Array.isArray(body) ? body : event, now, redactor);
  if (checked.kind === 'invalid') throw validationFailed(checked.errors);
  const {
    event: { apiKeyId: _apiKeyId, ...rest },
  } = checked;
  if (rest.holdId?.toLowerCase() !== holdId)
    throw validationFailed([{ field: 'hold_id', message: 'must be the hold that is settled' }]);
  return {
    ...rest,
    holdId,
    apiKeyId: sent.api_key_id,
    requestId: sent.request_id ?? `${RESERVED_REQUEST_ID}${holdId}`,
    endpoint: sent.endpoint === undefined ? '' : rest.endpoint,
    method: sent.method ?? '',
  };
}

/** What stands in for fields that were not sent, so that the rules of an event apply to those that were. */
const UNTOLD = {
  api_key_id: 1,
  request_id: '-',
  endpoint: '-',
  method: '-',
  request_tokens: 0,
  response_tokens: 0,
};

/** A hold as it leaves. */
export function toHoldResponse({ hold, budget }: HoldWithBudget, now: Date): Record<string, unknown> {
  return {
    id: hold.id,
    api_key_id: hold.apiKeyId,
    status: hold.status,
    amount_cents_decimal: decimalCentsFromMicroCents(hold.amountMicroCents),
    expires_at: isoTimestamp(hold.expiresAt.getTime()),
    budget: toBudgetResponse(budget, now.getTime()),
  };
}

/** A refusal as an error: why, what the budget stands at, and when to come back if waiting helps. */
export function toRefusal({ reason, retryAfterSeconds, budget }: HoldRefusal, now: Date): AppError {
  return new AppError('budget.refused', REFUSALS[reason], {
    members: { reason, budget: toBudgetResponse(budget, now.getTime()) },
    ...(retryAfterSeconds === null ? {} : { retryAfterSeconds }),
  });
}

const REFUSALS = {
  amount_exceeds_limit: 'The amount is more than the limit of the budget.',
  budget_exhausted: 'Too little of the budget is left for the amount.',
  held: 'What is left of the budget is held for other requests.',
} as const;

function bodyOf<Body>(body: unknown): Partial<Body> {
  return typeof body === 'object' && body !== null ? body : {};
}
