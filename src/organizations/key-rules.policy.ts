import type { FieldError } from '../common/app-error.js';
import { addressCover, patternCover } from '../common/matchers.js';
import { checksOf, DAY_MS, type RuledKey } from './key-checks.policy.js';
import { KEY_RULE_NAMES, type KeyRuleName, type KeyRules, ruleOf } from './key-rules.js';

/*
 * What the rules of policies mean for a key. The policy of an organization and that of a project are judged beside each other:
 * a key obeys both, so that whatever a project says, no rule of its organization is loosened.
 */

/** A policy with whose it is. */
export interface OwnedRules {
  readonly of: 'organization' | 'project';
  readonly rules: KeyRules;
}

/** All that binds the keys of a project: none, one or two policies. */
export type EffectiveRules = readonly OwnedRules[];

/** A rule that a key breaks: the field of the key, and the end of a sentence that begins with it. */
export interface Violation extends FieldError {
  readonly rule: KeyRuleName;
}

/** What the rules of a project bind: those of its organization, and its own. */
export function narrowed(organization: KeyRules | null, project: KeyRules | null): EffectiveRules {
  return [
    ...(organization === null ? [] : [{ of: 'organization', rules: organization } as const]),
    ...(project === null ? [] : [{ of: 'project', rules: project } as const]),
  ];
}

/** Judges keys by the rules of one policy, those that are counted aside; compiled once for many keys. */
export function compiledRules(rules: KeyRules): (key: RuledKey, nowMs: number) => Violation[] {
  const checks = checksOf(rules);
  return (key, nowMs) =>
    checks.flatMap(({ rule, fields: [field = ''], broken }) => {
      const message = broken(key, nowMs);
      return message === undefined ? [] : [{ rule, field, message }];
    });
}

/** The rules that a key breaks; of some fields alone where a change names them. */
export function violationsOf(
  effective: EffectiveRules,
  key: RuledKey,
  nowMs: number,
  changedFields?: readonly string[],
): Violation[] {
  return effective.flatMap(({ of, rules }) =>
    checksOf(rules).flatMap(({ rule, fields, broken }) => {
      if (changedFields !== undefined && !fields.some((field) => changedFields.includes(field))) return [];
      const message = broken(key, nowMs);
      const [field = ''] = fields;
      return message === undefined
        ? []
        : [{ rule, field, message: `${message} (${rule} of the policy of the ${of})` }];
    }),
  );
}

/**
 * From when on verdicts refuse a key because of policies that are enforced for all, in Unix milliseconds: infinite for never,
 * minus infinity for always.
 */
export function breaksFromMs(policies: readonly KeyRules[], key: RuledKey): number {
  return Math.min(
    Number.POSITIVE_INFINITY,
    ...policies
      .filter(({ enforcement }) => enforcement === 'all')
      .map((rules) => Math.max(beginsMs(rules), firstBreakMs(rules, key))),
  );
}

/** The expiry of a new key that says nothing of it; null for none. */
export function defaultExpiry(effective: EffectiveRules, now: Date): Date | null {
  const days = effective.toReversed().find(({ rules }) => rules.default_ttl_days !== null)
    ?.rules.default_ttl_days;
  if (days === undefined || days === null) return null;
  const most = effective.map(({ rules }) => rules.max_ttl_days ?? Number.POSITIVE_INFINITY);
  return new Date(now.getTime() + Math.min(days, ...most) * DAY_MS);
}

/** What contradicts itself in the rules of a policy. */
export function contradictions({ max_ttl_days: most, default_ttl_days: days }: KeyRules): FieldError[] {
  if (most === null || days === null || days <= most) return [];
  return [{ field: 'default_ttl_days', message: `must be at most ${most}, the max_ttl_days` }];
}

/** Where a project's policy says of a rule that it binds less than it does in the organization. */
export function wideningErrors(organization: KeyRules, project: KeyRules): FieldError[] {
  return KEY_RULE_NAMES.flatMap((name) => {
    const [bound, value] = [organization[name], project[name]];
    if (bound === null || value === null) return [];
    const message = widening(name, bound, value);
    return message === undefined
      ? []
      : [{ field: name, message: `${message}, as the policy of the organization has it` }];
  });
}

type Value = NonNullable<KeyRules[KeyRuleName]>;

function widening(name: KeyRuleName, bound: Value, value: Value): string | undefined {
  const rule = ruleOf(name);
  switch (rule.narrows) {
    case 'at most':
      return value > bound ? `must be at most ${Number(bound)}` : undefined;
    case 'addresses':
    case 'names': {
      const [outer, inner] = [bound, value].map((list) => (typeof list === 'string' ? [list] : list));
      return listWidening(rule.narrows, outer as readonly string[], inner as readonly string[]);
    }
    case 'same': {
      const strict = rule.kind === 'choice' ? rule.strict : true;
      return bound === strict && value !== strict ? `must be ${String(strict)}` : undefined;
    }
    case undefined:
      return undefined;
  }
}

function listWidening(
  kind: 'addresses' | 'names',
  bound: readonly string[],
  entries: readonly string[],
): string | undefined {
  if (bound.length === 0 || entries.length === 0) return undefined;
  const covers = kind === 'addresses' ? addressCover(bound) : patternCover(bound);
  const outside = entries.filter((entry) => !covers(entry));
  return outside.length === 0 ? undefined : `must lie within ${bound.join(', ')}`;
}

function beginsMs({ enforced_from: from }: KeyRules): number {
  return from === null ? Number.NEGATIVE_INFINITY : Date.parse(from);
}

/** Only the age of a secret comes with time. */
function firstBreakMs(rules: KeyRules, key: RuledKey): number {
  const { rotate_after_days: days, ...others } = rules;
  if (compiledRules({ ...others, rotate_after_days: null })(key, 0).length > 0)
    return Number.NEGATIVE_INFINITY;
  return days === null ? Number.POSITIVE_INFINITY : key.secretCreatedAt.getTime() + days * DAY_MS;
}
