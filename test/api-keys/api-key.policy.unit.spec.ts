import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type ApiKeyChanges, type ApiKeyPolicy, BLANK_POLICY } from '../../src/api-keys/api-key.js';
import { type MergedPolicy, mergePolicy } from '../../src/api-keys/api-key.policy.js';

const NOW = new Date('2026-11-22T08:12:00.000Z');
const later = (milliseconds: number) => new Date(NOW.getTime() + milliseconds);
const BUDGET = { ...BLANK_POLICY, isUnlimited: false, budgetLimitCents: 100, budgetType: 'monthly' as const };

function merged(result: MergedPolicy): Extract<MergedPolicy, { kind: 'merged' }> {
  if (result.kind === 'invalid') throw new Error(JSON.stringify(result.errors));
  return result;
}

const fieldsOf = (result: MergedPolicy) =>
  result.kind === 'invalid' ? result.errors.map(({ field }) => field) : result.changed;

describe('merging a policy with changes', () => {
  it('changes the fields present, and tells which really differ', () => {
    const current = { ...BLANK_POLICY, name: 'A', tags: ['x'], expiresAt: later(1_000) };
    const changes = { name: 'B', tags: ['x'], expiresAt: later(1_000), description: undefined };
    const { policy, changed } = merged(mergePolicy(current, changes, NOW));
    expect(policy).toEqual({ ...current, name: 'B' });
    expect(changed).toEqual(['name']);
  });

  it('tells lists apart by their order and their length', () => {
    const current = { ...BLANK_POLICY, scopes: ['a', 'b'] };
    for (const scopes of [['b', 'a'], ['a'], ['a', 'b', 'c'], []]) {
      expect(merged(mergePolicy(current, { scopes }, NOW)).changed).toEqual(['scopes']);
    }
    expect(merged(mergePolicy(current, { scopes: ['a', 'b'] }, NOW)).changed).toEqual([]);
  });

  it('lets an expiry that is set anew lie ahead only', () => {
    expect(fieldsOf(mergePolicy(BLANK_POLICY, { expiresAt: later(1) }, NOW))).toEqual(['expiresAt']);
    expect(fieldsOf(mergePolicy(BLANK_POLICY, { expiresAt: NOW }, NOW))).toEqual(['expires_at']);
    expect(fieldsOf(mergePolicy(BLANK_POLICY, { expiresAt: later(-1) }, NOW))).toEqual(['expires_at']);
  });

  it('lets a key that has expired be changed, and its expiry be sent back as it is or cleared', () => {
    const expired = { ...BLANK_POLICY, expiresAt: later(-1_000) };
    expect(fieldsOf(mergePolicy(expired, { name: 'B' }, NOW))).toEqual(['name']);
    expect(fieldsOf(mergePolicy(expired, { expiresAt: later(-1_000) }, NOW))).toEqual([]);
    expect(fieldsOf(mergePolicy(expired, { expiresAt: null }, NOW))).toEqual(['expiresAt']);
    expect(fieldsOf(mergePolicy(expired, { expiresAt: later(-500) }, NOW))).toEqual(['expires_at']);
  });

  it('reports every broken rule at once', () => {
    const changes = { isUnlimited: true, budgetLimitCents: 1, budgetType: 'total', expiresAt: NOW } as const;
    expect(fieldsOf(mergePolicy(BUDGET, changes, NOW))).toEqual([
      'budget_limit_cents',
      'budget_type',
      'expires_at',
    ]);
  });

  it('never lets through what the database would refuse, and never touches a field that is absent', () => {
    const maybe = <T>(value: fc.Arbitrary<T>) => fc.option(value, { nil: undefined });
    const limit = fc.constantFrom(null, 0, 1, 10 ** 12);
    const type = fc.constantFrom(null, 'total' as const, 'monthly' as const);
    const start: fc.Arbitrary<ApiKeyPolicy> = fc.constantFrom(BLANK_POLICY, BUDGET, {
      ...BUDGET,
      budgetType: 'total' as const,
      budgetLimitCents: 0,
    });
    const changes: fc.Arbitrary<ApiKeyChanges> = fc.record({
      isUnlimited: maybe(fc.boolean()),
      budgetLimitCents: maybe(limit),
      budgetType: maybe(type),
      name: maybe(fc.string({ minLength: 1 })),
    });
    fc.assert(
      fc.property(start, changes, (current, wanted) => {
        const result = mergePolicy(current, wanted, NOW);
        if (result.kind === 'invalid') return;
        const { policy, changed } = result;
        const { isUnlimited, budgetLimitCents, budgetType } = policy;
        expect(isUnlimited).toBe(wanted.isUnlimited ?? current.isUnlimited);
        expect([budgetLimitCents === null, budgetType === null]).toEqual([isUnlimited, isUnlimited]);
        if (!isUnlimited) expect(budgetLimitCents).toBe(wanted.budgetLimitCents ?? current.budgetLimitCents);
        expect({ ...policy, ...pick(current, changed) }).toEqual(current);
        const free = changed.filter(
          (field) => !['isUnlimited', 'budgetLimitCents', 'budgetType'].includes(field),
        );
        for (const field of free) expect(wanted[field]).toBeDefined();
      }),
    );
  });
});

function pick(policy: ApiKeyPolicy, fields: readonly (keyof ApiKeyPolicy)[]): Partial<ApiKeyPolicy> {
  return Object.fromEntries(fields.map((field) => [field, policy[field]]));
}
