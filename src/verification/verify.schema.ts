import { BUDGET_SCHEMA, toBudgetResponse } from '../budgets/budget.response.js';
import { isoTimestamp } from '../common/iso-timestamp.js';
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

/** One question about a key. */
export const VERIFY_REQUEST_SCHEMA = {
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
    ...Object.fromEntries(
      NAMED_RESTRICTIONS.map(({ input, description }) => [input, { ...NAME, description }]),
    ),
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
      description: 'How many requests this one counts as; 0 only looks.',
    },
    hold_cents: {
      type: ['number', 'string'],
      description:
        'An amount to set aside from the budget when the verdict is valid, in cents with up to six decimals; needs `hold_ttl_seconds`, and `platform:usage:write` as well.',
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
        'Show every rule with its inputs and take nothing; needs `platform:api-keys:read` as well.',
    },
  },
} as const;

/** Up to 100 questions. */
export const VERIFY_BATCH_REQUEST_SCHEMA = {
  type: 'object',
  required: ['requests'],
  additionalProperties: false,
  properties: { requests: { type: 'array', minItems: 1, maxItems: 100, items: VERIFY_REQUEST_SCHEMA } },
} as const;

const TEXTS = { type: 'array', items: { type: 'string' } } as const;
const NULLABLE_TIMESTAMP = { type: ['string', 'null'], format: 'date-time' } as const;

const WINDOW_SCHEMA = {
  type: 'object',
  required: ['window', 'limit', 'remaining', 'reset_at'],
  properties: {
    window: { type: 'string', enum: ['minute', 'hour', 'day'] },
    limit: { type: 'integer' },
    remaining: { type: 'integer' },
    reset_at: {
      type: 'string',
      format: 'date-time',
      description: 'When refused by this window: when it has room again. Otherwise: when it is whole again.',
    },
  },
} as const;

/** The answer; everything below `code` is absent when that is `NOT_FOUND`. */
export const VERDICT_SCHEMA = {
  type: 'object',
  required: ['valid', 'code'],
  properties: {
    valid: { type: 'boolean' },
    code: { type: 'string', enum: [...VERDICT_CODES] },
    api_key_id: { type: 'integer' },
    name: { type: 'string' },
    user_id: { type: 'integer' },
    scopes: TEXTS,
    tags: TEXTS,
    expires_at: NULLABLE_TIMESTAMP,
    rate_limits: { type: 'array', items: WINDOW_SCHEMA, description: 'The windows that are set.' },
    budget: BUDGET_SCHEMA,
    hold_id: {
      type: 'string',
      format: 'uuid',
      description: 'With `hold_cents`, when valid: settle, release or extend it below `/budget-holds`.',
    },
    rules: {
      type: 'array',
      description: 'With `explain`: every rule in its order.',
      items: {
        type: 'object',
        required: ['code', 'passed', 'inputs'],
        properties: {
          code: { type: 'string', enum: [...VERDICT_CODES] },
          passed: { type: 'boolean' },
          inputs: {
            type: 'object',
            additionalProperties: true,
            description:
              'What was compared. Of a key that came from others, `line` tells of each of them, the key itself first, by `api_key_id` whether it passes alone.',
          },
        },
      },
    },
  },
} as const;

/** One verdict per question, in their order. */
export const VERDICTS_SCHEMA = {
  type: 'object',
  required: ['verdicts'],
  properties: { verdicts: { type: 'array', items: VERDICT_SCHEMA } },
} as const;

/** A question as it arrives, checked by the schema above. */
export interface VerifyBody extends RequestNames {
  readonly key: string;
  readonly ip?: string;
  readonly scopes?: readonly string[];
  readonly cost: number;
  readonly hold_cents?: number | string;
  readonly hold_ttl_seconds?: number;
  readonly explain: boolean;
}

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
