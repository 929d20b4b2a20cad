import { BUDGET_SCHEMA, NULLABLE_BUDGET_SCHEMA } from '../budgets/budget.response.js';
import { component, referenceTo } from '../contract/components.js';
import { problemWith } from '../contract/problem-schemas.js';
import { CENTS, DECIMAL_CENTS, ID, openEnum, TIMESTAMP } from '../contract/wire-schemas.js';
import { USAGE_EVENT_SCHEMA } from '../usage/usage-event.schema.js';

const TTL_SECONDS = { type: 'integer', minimum: 1, maximum: 86_400 } as const;

/** What is to be set aside, and from whose budget. */
export const HOLD_REQUEST_SCHEMA = component('BudgetHoldRequest', {
  type: 'object',
  description: 'What to set aside, for exactly one of `key` and `api_key_id`.',
  required: ['amount_cents', 'ttl_seconds'],
  additionalProperties: false,
  properties: {
    key: { type: 'string', maxLength: 200, description: 'The secret of the key.' },
    api_key_id: {
      type: 'integer',
      minimum: 1,
      maximum: Number.MAX_SAFE_INTEGER,
      description: 'The id of the key.',
    },
    amount_cents: {
      ...CENTS,
      description: 'How much to hold; above 0.',
      examples: ['12.500000'],
    },
    ttl_seconds: { ...TTL_SECONDS, description: 'How long it is held unless it is extended.' },
    request_id: {
      type: 'string',
      minLength: 1,
      maxLength: 200,
      description: 'The caller’s own: the same key and id are answered the same hold. Not `hold:…`.',
    },
  },
});

/** A usage event, of which only the cost is needed. */
export const SETTLEMENT_SCHEMA = component('Settlement', {
  ...USAGE_EVENT_SCHEMA,
  description: 'What was really spent: a usage event, of which only `cost_cents` is required.',
  required: ['cost_cents'],
});

/** For how much longer. */
export const EXTENSION_SCHEMA = component('BudgetHoldExtension', {
  type: 'object',
  description: 'How much longer to hold.',
  required: ['ttl_seconds'],
  additionalProperties: false,
  properties: {
    ttl_seconds: { ...TTL_SECONDS, description: 'How long it is held from now on, at least.' },
  },
});

/** A hold as every route shows it. */
export const HOLD_SCHEMA = component('BudgetHold', {
  type: 'object',
  description: 'An amount of a budget that is set aside.',
  required: ['id', 'api_key_id', 'status', 'amount_cents_decimal', 'expires_at', 'budget'],
  properties: {
    id: { type: 'string', format: 'uuid', description: 'Names the hold.' },
    api_key_id: { ...ID, description: 'The key whose budget it is in.' },
    status: openEnum(['settled', 'released', 'expired', 'held'], 'What became of it.'),
    amount_cents_decimal: { ...DECIMAL_CENTS, description: 'The amount in cents.', examples: ['12.500000'] },
    expires_at: { ...TIMESTAMP, description: 'When it expires, or has.' },
    budget: NULLABLE_BUDGET_SCHEMA,
  },
});

/** The problem document of an amount that the budget has no room for. */
export const BUDGET_PROBLEM_SCHEMA = problemWith('BudgetProblem', {
  description: 'A problem document that says why a budget has no room.',
  required: ['reason', 'budget'],
  properties: {
    reason: openEnum(
      ['amount_exceeds_limit', 'budget_exhausted', 'held'],
      'Why there is no room. `held`: other requests hold what is left, so waiting may help.',
    ),
    budget: BUDGET_SCHEMA,
  },
});

/** The problem document of a hold that conflicts with another, or whose key may not be used. */
export const HOLD_CONFLICT_SCHEMA = problemWith('HoldConflictProblem', {
  description: 'A problem document of a hold that is not granted.',
  required: [],
  properties: {
    verdict: {
      ...referenceTo('VerdictCode'),
      description: 'With `budget_hold.key_refused`: the code of the verdict that refuses the key.',
    },
  },
});
