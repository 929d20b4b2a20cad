import type { FieldError } from '../common/app-error.js';
import { admitsIpv6Alone } from '../common/ip-address.js';
import type { ApiKeyChanges, ApiKeyLife, ApiKeyPolicy, ApiKeyRecord } from './api-key.js';
import { FIELD_NAMES, type FieldName } from './api-key.fields.js';

/** A policy after a change, or the rules that the change breaks. */
export type MergedPolicy =
  | {
      readonly kind: 'merged';
      readonly policy: ApiKeyPolicy;
      readonly changed: readonly FieldName[];
    }
  | { readonly kind: 'invalid'; readonly errors: readonly FieldError[] };

/**
 * What a key is worth now. The first that applies is its state, in the order of a verdict's checks: `owner_disabled`,
 * `scope_disabled` (its project or organization), `quarantined` (reserved: nothing quarantines a key yet), `inactive`, `expired`, `active`.
 */
export const API_KEY_STATES = [
  'active',
  'inactive',
  'expired',
  'quarantined',
  'owner_disabled',
  'scope_disabled',
] as const;
export type ApiKeyState = (typeof API_KEY_STATES)[number];

/** The state of a key at `now`. An ancestor that is not active counts as well. */
export function stateOf(
  apiKey: Pick<ApiKeyRecord, 'isOwnerActive' | 'isScopeActive' | 'ancestors'> & ApiKeyLife,
  now: Date,
): ApiKeyState {
  const line = [apiKey, ...apiKey.ancestors];
  if (!apiKey.isOwnerActive) return 'owner_disabled';
  if (!apiKey.isScopeActive) return 'scope_disabled';
  if (line.some(({ isActive }) => !isActive)) return 'inactive';
  return line.some(({ expiresAt }) => expiresAt !== null && expiresAt <= now) ? 'expired' : 'active';
}

/**
 * Applies the fields present in `changes` and judges the result. Becoming unlimited clears the budget; a budget
 * needs a limit, and its default type is `total`; a new expiry must lie ahead of `now`; new addresses must not leave out
 * IPv4 by mistake.
 */
export function mergePolicy(current: ApiKeyPolicy, changes: ApiKeyChanges, now: Date): MergedPolicy {
  const present = Object.fromEntries(
    Object.entries(changes).filter(([, value]) => value !== undefined),
  ) as Partial<ApiKeyPolicy>;
  const cleared = present.isUnlimited === true ? { budgetLimitCents: null, budgetType: null } : {};
  const merged = { ...current, ...cleared, ...present };
  const policy = merged.isUnlimited ? merged : { ...merged, budgetType: merged.budgetType ?? 'total' };
  const errors = [
    ...budgetErrors(policy),
    ...expiryErrors(current, policy, now),
    ...addressErrors(current, policy),
  ];
  if (errors.length > 0) return { kind: 'invalid', errors };
  return {
    kind: 'merged',
    policy,
    changed: FIELD_NAMES.filter((field) => !isSame(current[field], policy[field])),
  };
}

function budgetErrors(policy: ApiKeyPolicy): FieldError[] {
  if (!policy.isUnlimited) {
    const isMissing = policy.budgetLimitCents === null;
    return isMissing
      ? [{ field: 'budget_limit_cents', message: 'is required when is_unlimited is false' }]
      : [];
  }
  const message = 'must not be set while is_unlimited is true';
  return [
    ...(policy.budgetLimitCents === null ? [] : [{ field: 'budget_limit_cents', message }]),
    ...(policy.budgetType === null ? [] : [{ field: 'budget_type', message }]),
  ];
}

function expiryErrors(current: ApiKeyPolicy, policy: ApiKeyPolicy, now: Date): FieldError[] {
  const { expiresAt } = policy;
  const isPast = expiresAt !== null && expiresAt <= now && !isSame(current.expiresAt, expiresAt);
  return isPast ? [{ field: 'expires_at', message: 'must lie in the future' }] : [];
}

function addressErrors(current: ApiKeyPolicy, { allowedIps }: ApiKeyPolicy): FieldError[] {
  if (isSame(current.allowedIps, allowedIps) || !admitsIpv6Alone(allowedIps)) return [];
  const message = 'admits no IPv4 address: add 0.0.0.0/0, or leave the list empty for any address';
  return [{ field: 'allowed_ips', message }];
}

type PolicyValue = ApiKeyPolicy[FieldName];

function isSame(a: PolicyValue, b: PolicyValue): boolean {
  if (Array.isArray(a) && Array.isArray(b))
    return a.length === b.length && a.every((entry, index) => entry === b[index]);
  if (a instanceof Date && b instanceof Date) return a.getTime() === b.getTime();
  return a === b;
}
