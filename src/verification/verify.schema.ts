import type { FromSchema } from 'json-schema-to-ts';
import { NULLABLE_BUDGET_SCHEMA, toBudgetResponse } from '../budgets/budget.response.js';
import { isoTimestamp } from '../common/iso-timestamp.js';
import { component } from '../contract/components.js';
import { problemWith } from '../contract/problem-schemas.js';
import {
  CENTS,
  COUNT,
  ID,
  NULLABLE_TIMESTAMP,
  openEnum,
  TEXTS,
  TIMESTAMP,
} from '../contract/wire-schemas.js';
import type { WindowState } from '../rate-limits/rate-windows.policy.js';
import type { Explanation } from './explanations.service.js';
import { NAMED_RESTRICTIONS, type RequestNames } from './named-restrictions.js';
import type { Verdict } from './verification.service.js';
import { isoOrNull, VERDICT_CODES } from './verdict.js';

/*
 * The wire of the verdict routes as JSON Schema. Fastify validates and serialises with these very objects, and the
 * OpenAPI document shows them: there is no second description.
 */

const NAME = { type: 'string', maxLength: 200 } as const;

/** What a request always may say; the names that keys may be restricted to are added below. */
const VERIFY_REQUEST = {
  type: 'object',
  required: ['key'],
  additionalProperties: false,
  properties: {
    key: {
      type: 'string',
      description: 'The secret to judge.',
      examples: ['en_0123456789ABCDEFGHIJKLMNOPQRSTUV206ZPL'],
    },
    ip: {
      type: 'string',
      maxLength: 64,
      description: 'The address the key was used from; IPv4 or IPv6.',
      examples: ['203.0.113.7'],
    },
    scopes: {
      type: 'array',
      maxItems: 100,
      items: NAME,
      description: 'Scopes it must have, matched exactly.',
    },
    cost: {
      type: 'integer',
      minimum: 0,
      maximum: 1_000_000,
      default: 1,
      description: 'How many requests this one counts as; 0 only peeks.',
    },
    hold_cents: {
      ...CENTS,
      description:
        'An amount to set aside from the budget when the verdict is valid, above 0; needs `hold_ttl_seconds`, and `platform:usage:write` as well.',
      examples: ['12.500000'],
    },
    hold_ttl_seconds: {
      type: 'integer',
      minimum: 1,
      maximum: 86_400,
      description: 'How long that is held unless it is settled, released or extended.',
    },
    explain: {
      type: 'boolean',
      default: false,
      description:
        'Show every rule with its inputs and consume nothing; needs `platform:api-keys:read` as well.',
    },
  },
} as const;
const { key, ip, ...others } = VERIFY_REQUEST.properties;

/** One request for a verdict. */
export const VERIFY_REQUEST_SCHEMA = component('VerifyRequest', {
  ...VERIFY_REQUEST,
  properties: {
    key,
    ip,
    ...Object.fromEntries(
      NAMED_RESTRICTIONS.map(({ input, description }) => [input, { ...NAME, description }]),
    ),
    ...others,
  },
});

/** Up to 100 requests. */
export const VERIFY_BATCH_REQUEST_SCHEMA = component('VerifyBatchRequest', {
  type: 'object',
  description: 'Up to 100 requests for a verdict.',
  required: ['requests'],
  additionalProperties: false,
  properties: {
    requests: {
      type: 'array',
      minItems: 1,
      maxItems: 100,
      items: VERIFY_REQUEST_SCHEMA,
      description: 'Each is judged on its own, in this order.',
    },
  },
});

const RATE_LIMIT_STATE_SCHEMA = component('RateLimitState', {
  type: 'object',
  description: 'What is left of one window of a rate limit.',
  required: ['window', 'limit', 'remaining', 'reset_at'],
  properties: {
    window: openEnum(['minute', 'hour', 'day'], 'The length of the window.'),
    limit: { ...COUNT, description: 'How many requests the window admits.' },
    remaining: { ...COUNT, description: 'How many of them are left.' },
    reset_at: {
      ...TIMESTAMP,
      description: 'When refused by this window: when it has room again. Otherwise: when it is whole again.',
    },
  },
});

/** The code of a verdict, in every response that has one. */
export const VERDICT_CODE_SCHEMA = component(
  'VerdictCode',
  openEnum(
    [...VERDICT_CODES],
    'Why a key is refused, or `VALID`. The checks come in this order. Treat a code that you do not know as a refusal.',
  ),
);

/** The answer; everything below `code` is absent when that is `NOT_FOUND`. */
export const VERDICT_SCHEMA = component('Verdict', {
  type: 'object',
  description:
    'Whether a key may do something now. Everything below `code` is absent when that is `NOT_FOUND`.',
  required: ['valid', 'code'],
  properties: {
    valid: { type: 'boolean', description: 'Whether the key may do this now.' },
    code: VERDICT_CODE_SCHEMA,
    api_key_id: { ...ID, description: 'The key.' },
    name: { type: 'string', description: 'The name of the key.' },
    user_id: { ...ID, description: 'Its owner.' },
    scopes: { ...TEXTS, description: 'What the key may do.' },
    tags: { ...TEXTS, description: 'The tags of the key.' },
    expires_at: { ...NULLABLE_TIMESTAMP, description: 'When the key expires; null when it does not.' },
    rate_limits: { type: 'array', items: RATE_LIMIT_STATE_SCHEMA, description: 'The windows that are set.' },
    budget: NULLABLE_BUDGET_SCHEMA,
    hold_id: {
      type: 'string',
      format: 'uuid',
      description: 'With `hold_cents`, when valid: settle, release or extend it below `/budget-holds`.',
    },
    rules: {
      type: 'array',
      description: 'With `explain`: every rule in its order.',
      items: component('VerdictRule', {
        type: 'object',
        description: 'One check of an explained verdict.',
        required: ['code', 'passed', 'inputs'],
        properties: {
          code: { ...VERDICT_CODE_SCHEMA, description: 'The code of a key that does not pass.' },
          passed: { type: 'boolean', description: 'Whether the key passes it.' },
          inputs: {
            type: 'object',
            additionalProperties: true,
            description:
              'What was compared. Of a key that descends from others, `line` says of each of them, the key itself first, by `api_key_id` whether it passes alone.',
          },
        },
      }),
    },
  },
});

/** One verdict per request, in their order. */
export const VERDICTS_SCHEMA = component('Verdicts', {
  type: 'object',
  description: 'Verdicts of a batch.',
  required: ['verdicts'],
  properties: {
    verdicts: {
      type: 'array',
      items: VERDICT_SCHEMA,
      description: 'One for each request, in the order of the requests.',
    },
  },
});

/** The problem document of a request that a verdict refuses. */
export const VERDICT_PROBLEM_SCHEMA = problemWith('VerdictProblem', {
  description: 'A problem document that names the verdict.',
  required: ['verdict'],
  properties: { verdict: VERDICT_CODE_SCHEMA },
});

/** A request as it arrives, checked by the schema above. */
export type VerifyBody = FromSchema<typeof VERIFY_REQUEST> & RequestNames;

/** A verdict as it leaves. */
export function toVerdictResponse(verdict: Verdict): Record<string, unknown> {
  if (verdict.code === 'NOT_FOUND') return { valid: false, code: 'NOT_FOUND' };
  const { code, cachedKey, windows, budget, holdId, nowMs } = verdict;
  return {
    valid: code === 'VALID',
    code,
    api_key_id: cachedKey.apiKeyId,
    name: cachedKey.name,
    user_id: cachedKey.userId,
    scopes: cachedKey.scopes,
    tags: cachedKey.tags,
    expires_at: isoOrNull(cachedKey.expiresAtMs),
    rate_limits: windows.map(toWindowResponse),
    budget: toBudgetResponse(budget, nowMs),
    hold_id: holdId,
  };
}

/** A verdict with its rules. */
export function toExplanationResponse({ verdict, rules }: Explanation): Record<string, unknown> {
  return { ...toVerdictResponse(verdict), rules };
}

function toWindowResponse({ window, limit, remaining, resetAtMs }: WindowState): Record<string, unknown> {
  return { window, limit, remaining, reset_at: isoTimestamp(resetAtMs) };
}
