import type { CachedKey } from '../api-keys/cached-key.js';
import type { Reporter } from '../usage/reporter.js';
import { type Budget, hasRoomFor, isExhausted } from '../budgets/budget.policy.js';
import { NAMED_RESTRICTIONS, type NameRefusal, type RequestNames } from './named-restrictions.js';

/** What is asked of a key. An input that is absent is unknown, and unknown is not allowed where a restriction asks for it. */
export interface VerdictRequest {
  /** Normalized. */
  readonly ip?: string | undefined;
  readonly names: RequestNames;
  readonly scopes: readonly string[];
  /** How many requests this one counts as; 0 only peeks. */
  readonly cost: number;
  /** An amount to set aside with the verdict. */
  readonly hold?: VerdictHold | undefined;
}

/** What a verdict is to hold, and for how long. */
export interface VerdictHold {
  readonly amountMicroCents: bigint;
  readonly ttlSeconds: number;
  /** Whose the hold will be. */
  readonly takenBy: Reporter;
}

/** Why a known key is refused by what it is and what is asked of it, in the order in which that is judged. */
export type Refusal =
  | 'DISABLED'
  | 'EXPIRED'
  | 'POLICY_VIOLATION'
  | 'IP_NOT_ALLOWED'
  | NameRefusal
  | 'INSUFFICIENT_SCOPE'
  | 'BUDGET_EXCEEDED';

/** Every code of a verdict. */
export type VerdictCode = 'NOT_FOUND' | Refusal | 'RATE_LIMITED' | 'VALID';

/** Every code, in the order of the checks. */
export const VERDICT_CODES: readonly VerdictCode[] = [
  'NOT_FOUND',
  'DISABLED',
  'EXPIRED',
  'POLICY_VIOLATION',
  'IP_NOT_ALLOWED',
  ...NAMED_RESTRICTIONS.map(({ refusal }) => refusal),
  'INSUFFICIENT_SCOPE',
  'BUDGET_EXCEEDED',
  'RATE_LIMITED',
  'VALID',
];

/** One check: what it looks at, and whether the key passes it. */
export interface Rule {
  readonly refusal: Refusal;
  passes(cachedKey: CachedKey, request: VerdictRequest, nowMs: number, budget: Budget): boolean;
  /** What the rule compared, for `explain`. */
  inputs(cachedKey: CachedKey, request: VerdictRequest, nowMs: number): Readonly<Record<string, unknown>>;
}

/** The checks in their order: free ones first, so that a refused call spends nothing. */
export const RULES: readonly Rule[] = [
  {
    refusal: 'DISABLED',
    passes: (cachedKey) => cachedKey.isActive && cachedKey.isOwnerActive && cachedKey.isScopeActive,
    inputs: (cachedKey) => ({
      is_active: cachedKey.isActive,
      is_owner_active: cachedKey.isOwnerActive,
      is_scope_active: cachedKey.isScopeActive,
    }),
  },
  {
    refusal: 'EXPIRED',
    passes: (cachedKey, _request, nowMs) => cachedKey.expiresAtMs > nowMs,
    inputs: (cachedKey, _request, nowMs) => ({
      expires_at: isoOrNull(cachedKey.expiresAtMs),
      now: new Date(nowMs).toISOString(),
    }),
  },
  {
    refusal: 'POLICY_VIOLATION',
    passes: ({ breaksPolicyFromMs }, _request, nowMs) => breaksPolicyFromMs > nowMs,
    inputs: ({ breaksPolicyFromMs }, _request, nowMs) => ({
      breaks_policy: breaksPolicyFromMs <= nowMs,
      breaks_policy_from: isoOrNull(breaksPolicyFromMs),
      now: new Date(nowMs).toISOString(),
    }),
  },
  {
    refusal: 'IP_NOT_ALLOWED',
    passes: ({ addresses }, { ip }) => addresses === undefined || (ip !== undefined && addresses.matches(ip)),
    inputs: ({ addresses }, { ip }) => ({ allowed_ips: addresses?.entries ?? [], ip: ip ?? null }),
  },
  ...NAMED_RESTRICTIONS.map(nameRule),
  {
    refusal: 'INSUFFICIENT_SCOPE',
    passes: (cachedKey, request) => request.scopes.every((scope) => cachedKey.scopes.includes(scope)),
    inputs: (cachedKey, request) => ({ scopes: cachedKey.scopes, required_scopes: request.scopes }),
  },
  {
    refusal: 'BUDGET_EXCEEDED',
    passes: (_cachedKey, { hold }, nowMs, budget) =>
      hold === undefined ? !isExhausted(budget, nowMs) : hasRoomFor(budget, hold.amountMicroCents, nowMs),
    inputs: ({ hasBudget }, _request, nowMs) => ({
      has_budget: hasBudget,
      now: new Date(nowMs).toISOString(),
    }),
  },
];

function nameRule({ index, input, field, refusal }: (typeof NAMED_RESTRICTIONS)[number]): Rule {
  return {
    refusal,
    passes: (cachedKey, { names }) => {
      const list = cachedKey.names[index];
      if (list === undefined) return true;
      const name = names[input];
      return name !== undefined && list.matches(name);
    },
    inputs: (cachedKey, { names }) => ({
      [field]: cachedKey.names[index]?.patterns ?? [],
      [input]: names[input] ?? null,
    }),
  };
}

/**
 * The first check that a known key does not pass, with what its budget stood at; undefined when only its rate limits
 * are left to ask.
 */
export function decide(
  cachedKey: CachedKey,
  request: VerdictRequest,
  nowMs: number,
  budget: Budget,
): Refusal | undefined {
  for (const rule of RULES) {
    if (!rule.passes(cachedKey, request, nowMs, budget)) return rule.refusal;
  }
  return undefined;
}

/** An infinite time is none. */
export function isoOrNull(timeMs: number): string | null {
  return Number.isFinite(timeMs) ? new Date(timeMs).toISOString() : null;
}
