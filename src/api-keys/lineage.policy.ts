import { grants, PLATFORM_NAMESPACE } from '../auth/permission.policy.js';
import type { FieldError } from '../common/app-error.js';
import { type ApiKeyPolicy, BLANK_POLICY } from './api-key.js';
import { FIELD_NAMES, type FieldName, fieldOf, fieldsWithRestriction, wireNameOf } from './api-key.fields.js';
import { addressCover, patternCover } from '../common/matchers.js';

/*
 * What a key may do to others and to itself. A key that creates another becomes its parent, and the child stays within
 * it. A verdict judges the whole line, so these rules are not what restricts a child: they keep the policy that a key
 * shows true, and keep a key from loosening keys outside its line.
 */

/** The most ancestors of a key; the budget ledger follows no more. */
export const MOST_ANCESTORS = 15;

const LISTS = [...fieldsWithRestriction('addresses'), ...fieldsWithRestriction('names')];
const RATE_LIMITS = fieldsWithRestriction('limit');
const BUDGET = fieldsWithRestriction('budget');

/** A rule that a policy breaks as part of another one. */
export interface Excess {
  readonly field: FieldName;
  readonly message: string;
}

/** The relation of a key to the key that changes it. */
export type Kinship =
  /** Created by it, or by one that it created. */
  | 'descendant'
  /** Itself, one that it came from, or another one of the same origin. */
  | 'family'
  | 'stranger';

/** Kinship by lines of ids: each begins with the key itself and ends with the origin. */
export function kinshipOf(caller: readonly number[], target: readonly number[]): Kinship {
  const [callerId] = caller;
  if (callerId !== undefined && target.indexOf(callerId) > 0) return 'descendant';
  return caller.at(-1) === target.at(-1) ? 'family' : 'stranger';
}

/**
 * The policy of a new key before the fields of the request. A child starts with a copy of its parent's, without scopes,
 * so that it shows what binds it.
 */
export function initialPolicy([parent]: readonly ApiKeyPolicy[]): ApiKeyPolicy {
  if (parent === undefined) return BLANK_POLICY;
  const fields: FieldName[] = ['expiresAt', ...RATE_LIMITS, ...LISTS, ...BUDGET];
  return { ...BLANK_POLICY, ...Object.fromEntries(fields.map((field) => [field, parent[field]])) };
}

/** Where `policy` allows more than `bound` does. Names, tags and the active flag do not count. */
function excessOf(policy: ApiKeyPolicy, bound: ApiKeyPolicy): Excess[] {
  return [
    ...expiryExcess(policy, bound),
    ...RATE_LIMITS.flatMap((field) => rateLimitExcess(field, policy, bound)),
    ...LISTS.flatMap((field) => listExcess(field, policy[field], bound[field])),
    ...scopeExcess(policy.scopes, bound.scopes),
    ...budgetExcess(policy, bound),
  ];
}

/** Where the fields of a request exceed an ancestor of the key. */
export function statedExcess(
  policy: ApiKeyPolicy,
  stated: readonly FieldName[],
  ancestors: readonly ApiKeyPolicy[],
): FieldError[] {
  const isStated = (field: FieldName) => stated.includes(field);
  const isOfBudget = (field: FieldName) => fieldOf(field).restriction === 'budget';
  const errors = new Map<string, FieldError>();
  for (const ancestor of ancestors) {
    for (const { field, message } of excessOf(policy, ancestor)) {
      const counts = isOfBudget(field) ? BUDGET.some(isStated) : isStated(field);
      const name = wireNameOf(field);
      if (counts && !errors.has(name)) errors.set(name, { field: name, message });
    }
  }
  return [...errors.values()];
}

/** The fields by which a change allows more than was allowed before. */
export function loosenedFields(before: ApiKeyPolicy, after: ApiKeyPolicy): FieldName[] {
  const loosened = new Set(excessOf(after, before).map(({ field }) => field));
  if (after.isActive && !before.isActive) loosened.add('isActive');
  return FIELD_NAMES.filter((field) => loosened.has(field));
}

/**
 * The fields by which a key that is no descendant of the caller would be more than the caller and all that it comes
 * from. Rate limits and budgets are counted for each key and its ancestors: no stranger is within them.
 */
export function excessOfStranger(policy: ApiKeyPolicy, callers: readonly ApiKeyPolicy[]): FieldName[] {
  const exceeded = new Set(
    callers.flatMap((caller) => [
      ...excessOf(policy, caller).map(({ field }) => field),
      ...RATE_LIMITS.filter((field) => caller[field] !== null),
      ...(caller.isUnlimited ? [] : (['isUnlimited'] as const)),
    ]),
  );
  return FIELD_NAMES.filter((field) => exceeded.has(field));
}

/** Whether a key that has `held` has a scope as well: the same, or for a permission of this service a wider one. */
export function coversScope(held: readonly string[], scope: string): boolean {
  if (held.includes(scope)) return true;
  return scope.startsWith(PLATFORM_NAMESPACE) && grants(held.filter(isPlatformScope), scope);
}

function isPlatformScope(scope: string): boolean {
  return scope.startsWith(PLATFORM_NAMESPACE);
}

function expiryExcess({ expiresAt }: ApiKeyPolicy, bound: ApiKeyPolicy): Excess[] {
  if (bound.expiresAt === null || (expiresAt !== null && expiresAt <= bound.expiresAt)) return [];
  const message = `must be set, to ${bound.expiresAt.toISOString()} at the latest, when the parent key expires`;
  return [{ field: 'expiresAt', message }];
}

function rateLimitExcess(
  field: (typeof RATE_LIMITS)[number],
  policy: ApiKeyPolicy,
  bound: ApiKeyPolicy,
): Excess[] {
  const [limit, most] = [policy[field], bound[field]];
  if (most === null || (limit !== null && limit <= most)) return [];
  return [{ field, message: `must be set, to at most ${most}, the limit of the parent key` }];
}

function listExcess(
  field: (typeof LISTS)[number],
  entries: readonly string[],
  bound: readonly string[],
): Excess[] {
  if (bound.length === 0) return [];
  if (entries.length === 0)
    return [{ field, message: 'must not be empty, since that of the parent key is not' }];
  const covers = fieldOf(field).restriction === 'addresses' ? addressCover(bound) : patternCover(bound);
  const index = entries.findIndex((entry) => !covers(entry));
  return index === -1 ? [] : [{ field, message: `entry ${index} must lie within one of the parent key` }];
}

function scopeExcess(scopes: readonly string[], bound: readonly string[]): Excess[] {
  const index = scopes.findIndex((scope) => !coversScope(bound, scope));
  if (index === -1) return [];
  return [{ field: 'scopes', message: `entry ${index} must be a scope of the parent key` }];
}

function budgetExcess(policy: ApiKeyPolicy, bound: ApiKeyPolicy): Excess[] {
  if (bound.isUnlimited) return [];
  if (policy.isUnlimited)
    return [{ field: 'isUnlimited', message: 'must be false, as the parent key has it' }];
  const errors: Excess[] = [];
  const most = bound.budgetLimitCents ?? 0;
  if ((policy.budgetLimitCents ?? 0) > most) {
    errors.push({
      field: 'budgetLimitCents',
      message: `must be at most ${most}, the budget of the parent key`,
    });
  }
  // A monthly budget allows more in all than the same amount once.
  if (policy.budgetType === 'monthly' && bound.budgetType === 'total') {
    errors.push({ field: 'budgetType', message: 'must be total, as the parent key has it' });
  }
  return errors;
}
