import { addressCover, matchesGlob, patternCover } from '../common/matchers.js';
import type { KeyRuleName, KeyRules } from './key-rules.js';

/*
 * The rules of one policy that a key obeys or breaks by itself.
 */

/** What a policy looks at of a key. */
export interface RuledKey {
  readonly name: string;
  readonly scopes: readonly string[];
  readonly allowedIps: readonly string[];
  readonly allowedModels: readonly string[];
  readonly expiresAt: Date | null;
  readonly createdAt: Date;
  readonly isUnlimited: boolean;
  readonly budgetLimitCents: number | null;
  readonly ownerKind: 'person' | 'service';
  /** Of the current secret. */
  readonly secretCreatedAt: Date;
}

/** What one rule of a policy asks of a key. */
export interface KeyCheck {
  readonly rule: KeyRuleName;
  /** The fields of a key that it depends on, by their names on the wire; an error names the first. */
  readonly fields: readonly string[];
  /** What must be true of the field; undefined while it is. */
  readonly broken: (key: RuledKey, nowMs: number) => string | undefined;
}

export const DAY_MS = 86_400_000;
const BUDGET_FIELDS = ['budget_limit_cents', 'is_unlimited'];

/** The checks of a policy, those that are counted aside. */
export function checksOf(rules: KeyRules): KeyCheck[] {
  return CHECKS.flatMap((make) => make(rules) ?? []);
}

/** Each makes the check of one rule; undefined where the rule binds nothing. */
const CHECKS: readonly ((rules: KeyRules) => KeyCheck | undefined)[] = [
  ({ max_ttl_days: days }) =>
    check(days, 'max_ttl_days', ['expires_at'], (most) => ({ expiresAt, createdAt }) => {
      const latest = new Date(createdAt.getTime() + most * DAY_MS);
      if (expiresAt !== null && expiresAt <= latest) return undefined;
      return `must be set, to ${latest.toISOString()} at the latest`;
    }),
  ({ required_ips: ips }) =>
    check(ips, 'required_ips', ['allowed_ips'], (list) => {
      const covers = addressCover(list);
      return ({ allowedIps }) => outside(allowedIps, covers, list);
    }),
  ({ allowed_scopes: allowed }) =>
    check(allowed, 'allowed_scopes', ['scopes'], (list) => {
      const covers = patternCover(list);
      return ({ scopes }) => (scopes.length === 0 ? undefined : outside(scopes, covers, list));
    }),
  ({ allowed_models: allowed }) =>
    check(allowed, 'allowed_models', ['allowed_models'], (list) => {
      const covers = patternCover(list);
      return ({ allowedModels }) => outside(allowedModels, covers, list);
    }),
  ({ name_pattern: pattern }) =>
    check(
      pattern,
      'name_pattern',
      ['name'],
      (glob) =>
        ({ name }) =>
          matchesGlob(glob, name) ? undefined : `must match ${glob}`,
    ),
  ({ require_budget: isRequired }) =>
    check(
      isRequired === true ? isRequired : null,
      'require_budget',
      ['is_unlimited'],
      () =>
        ({ isUnlimited }) =>
          isUnlimited ? 'must be false' : undefined,
    ),
  ({ max_budget_cents: most }) =>
    check(
      most,
      'max_budget_cents',
      BUDGET_FIELDS,
      (limit) =>
        ({ isUnlimited, budgetLimitCents }) =>
          isUnlimited || (budgetLimitCents ?? 0) > limit ? `must be set, to at most ${limit}` : undefined,
    ),
  ({ personal_keys: personal }) =>
    check(
      personal === 'deny' ? personal : null,
      'personal_keys',
      ['user_id'],
      () =>
        ({ ownerKind }) =>
          ownerKind === 'person' ? 'must be a service account' : undefined,
    ),
  ({ rotate_after_days: days }) =>
    check(days, 'rotate_after_days', ['secrets'], (most) => ({ secretCreatedAt }, nowMs) => {
      const endMs = secretCreatedAt.getTime() + most * DAY_MS;
      return nowMs < endMs ? undefined : `must have one younger than ${most} days: regenerate the key first`;
    }),
];

function check<Bound extends NonNullable<KeyRules[KeyRuleName]>>(
  bound: Bound | null,
  rule: KeyRuleName,
  fields: readonly string[],
  brokenBy: (bound: Bound) => KeyCheck['broken'],
): KeyCheck | undefined {
  if (bound === null || (Array.isArray(bound) && bound.length === 0)) return undefined;
  return { rule, fields, broken: brokenBy(bound) };
}

function outside(
  entries: readonly string[],
  covers: (entry: string) => boolean,
  list: readonly string[],
): string | undefined {
  if (entries.length === 0) return 'must not be empty';
  const index = entries.findIndex((entry) => !covers(entry));
  return index === -1 ? undefined : `entry ${index} must lie within ${list.join(', ')}`;
}
