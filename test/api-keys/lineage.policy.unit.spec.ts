import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type ApiKeyPolicy, BLANK_POLICY } from '../../src/api-keys/api-key.js';
import { mergePolicy } from '../../src/api-keys/api-key.policy.js';
import {
  excessOfStranger,
  initialPolicy,
  kinshipOf,
  loosenedFields,
  statedExcess,
} from '../../src/api-keys/lineage.policy.js';
import { addressMatcher, nameMatcher, patternCover } from '../../src/common/matchers.js';

const UNCOUNTED = {
  rateLimitPerMinute: null,
  rateLimitPerHour: null,
  rateLimitPerDay: null,
  isUnlimited: true,
  budgetLimitCents: null,
  budgetType: null,
};
const NOW = new Date('2026-11-28T12:00:00Z');

/** What may be asked of a key; the more often it fits, the more a property says. */
interface Question {
  readonly at: Date;
  readonly ip: string;
  readonly model: string;
  readonly chatbot: string;
  readonly scope: string;
  /** Requests within each window, and cents within a life and within a month, that were admitted before. */
  readonly counts: readonly [minute: number, hour: number, day: number];
  readonly cents: number;
  readonly centsOfMonth: number;
}

const name = fc.string({ unit: fc.constantFrom('a', 'b', '*'), minLength: 1, maxLength: 4 });
/** Free more often than not, so that much fits. */
const mostly = <Value, Other>(free: Value, other: fc.Arbitrary<Other>) =>
  fc.oneof({ weight: 4, arbitrary: fc.constant(free) }, { weight: 1, arbitrary: other });
const names = mostly<string[], string[]>([], fc.uniqueArray(name, { maxLength: 3 }));
const block = fc.constantFrom(
  ...'10.0.0.0/8 10.1.0.0/16 10.1.0.1 10.0.0.0/7 0.0.0.0/0 ::/0 2001:db8::/32 2001:db8::1 ::ffff:10.0.0.0/104'.split(
    ' ',
  ),
);
const limit = mostly(null, fc.integer({ min: 1, max: 3 }));
const scope = fc.constantFrom('chat', 'chat:write', 'platform:api-keys:read');
const moment = fc.integer({ min: 1, max: 3 }).map((hours) => new Date(NOW.getTime() + hours * 3_600_000));
const budget = mostly(
  { isUnlimited: true, budgetLimitCents: null, budgetType: null },
  fc.record({
    isUnlimited: fc.constant(false),
    budgetLimitCents: fc.integer({ min: 0, max: 3 }),
    budgetType: fc.constantFrom('total' as const, 'monthly' as const),
  }),
);
const fields = {
  scopes: mostly(['chat', 'chat:write', 'platform:api-keys:read'], fc.uniqueArray(scope, { maxLength: 3 })),
  isActive: fc.boolean(),
  expiresAt: mostly(null, moment),
  rateLimitPerMinute: limit,
  rateLimitPerHour: limit,
  rateLimitPerDay: limit,
  allowedIps: mostly<string[], string[]>([], fc.uniqueArray(block, { maxLength: 2 })),
  allowedModels: names,
  allowedChatbots: names,
};
const policy: fc.Arbitrary<ApiKeyPolicy> = fc
  .tuple(fc.record(fields), budget)
  .map(([restrictions, money]) => ({ ...BLANK_POLICY, ...restrictions, ...money }));
const changes = fc
  .tuple(fc.record(fields, { requiredKeys: [] }), fc.option(budget))
  .map(([restrictions, money]) => ({ ...restrictions, ...money }));
const question: fc.Arbitrary<Question> = fc.record({
  at: fc.integer({ min: 0, max: 240 }).map((minutes) => new Date(NOW.getTime() + minutes * 60_000)),
  ip: fc.constantFrom('10.1.0.1', '10.2.0.1', '11.0.0.1', '192.0.2.1', '2001:db8::1', '2001:db9::1'),
  model: name,
  chatbot: name,
  scope,
  counts: fc.tuple(...[0, 1, 2].map(() => fc.integer({ min: 0, max: 4 }))) as fc.Arbitrary<
    [number, number, number]
  >,
  cents: fc.integer({ min: 0, max: 4 }),
  centsOfMonth: fc.integer({ min: 0, max: 4 }),
});
const questions = fc.array(question, { minLength: 30, maxLength: 30 });

/** The verdict, by the plain definition of each restriction. */
function admits(key: ApiKeyPolicy, asked: Question): boolean {
  const limits = [key.rateLimitPerMinute, key.rateLimitPerHour, key.rateLimitPerDay];
  const spent = key.budgetType === 'monthly' ? Math.min(asked.centsOfMonth, asked.cents) : asked.cents;
  return (
    key.isActive &&
    (key.expiresAt === null || key.expiresAt > asked.at) &&
    (addressMatcher(key.allowedIps)?.matches(asked.ip) ?? true) &&
    (nameMatcher(key.allowedModels)?.matches(asked.model) ?? true) &&
    (nameMatcher(key.allowedChatbots)?.matches(asked.chatbot) ?? true) &&
    key.scopes.includes(asked.scope) &&
    limits.every((most, index) => most === null || asked.counts[index]! < most) &&
    (key.isUnlimited || spent < (key.budgetLimitCents ?? 0))
  );
}

/** Asks what both must answer the same way about, and fails where `inner` admits what `outer` refuses. */
function expectWithin(inner: ApiKeyPolicy, outer: ApiKeyPolicy, asked: readonly Question[]): void {
  const beyond = asked.filter((one) => admits(inner, one) && !admits(outer, one));
  expect({ inner, outer, beyond }).toEqual({ inner, outer, beyond: [] });
}

describe('the rules between keys of a line', () => {
  it('let no new key admit what its parents refuse, whatever is asked for', () => {
    let created = 0;
    fc.assert(
      fc.property(
        fc.array(policy, { minLength: 1, maxLength: 2 }),
        changes,
        questions,
        (parents, input, asked) => {
          const merged = mergePolicy(initialPolicy(parents), input, NOW);
          if (merged.kind === 'invalid') return;
          const stated = (Object.keys(input) as (keyof ApiKeyPolicy)[]).filter((field) => field in input);
          if (statedExcess(merged.policy, stated, parents).length > 0) return;
          created += 1;
          // State is not part of what is stated: it is judged with every verdict.
          const [parent] = parents as [ApiKeyPolicy];
          expectWithin({ ...merged.policy, isActive: true }, { ...parent, isActive: true }, asked);
        },
      ),
      { numRuns: 1_500 },
    );
    expect(created).toBeGreaterThan(100);
  });

  it('call every change that admits more a loosening', () => {
    fc.assert(
      fc.property(policy, changes, questions, (before, input, asked) => {
        const after = { ...before, ...input };
        if (loosenedFields(before, after).length === 0) expectWithin(after, before, asked);
      }),
      { numRuns: 1_500 },
    );
  });

  it('call no change a loosening that only takes away', () => {
    fc.assert(
      fc.property(policy, (before) => {
        const tighter: ApiKeyPolicy = {
          ...before,
          isActive: false,
          scopes: before.scopes.slice(1),
          rateLimitPerMinute: 1,
          allowedModels:
            before.allowedModels.length > 1 ? before.allowedModels.slice(1) : before.allowedModels,
          expiresAt: NOW,
          isUnlimited: false,
          budgetLimitCents: 0,
          budgetType: 'total',
        };
        expect(loosenedFields(before, tighter)).toEqual([]);
        expect(loosenedFields(before, before)).toEqual([]);
      }),
      { numRuns: 500 },
    );
  });

  it('let no stranger be given what one of the callers refuses', () => {
    let given = 0;
    fc.assert(
      fc.property(
        policy,
        fc.array(policy, { minLength: 1, maxLength: 2 }),
        questions,
        (after, callers, asked) => {
          const living = callers.map((caller) => ({ ...caller, ...UNCOUNTED, isActive: true }));
          if (excessOfStranger(after, living).length > 0) return;
          given += 1;
          for (const caller of living) expectWithin({ ...after, isActive: true }, caller, asked);
        },
      ),
      { numRuns: 1_500 },
    );
    expect(given).toBeGreaterThan(10);
  });

  it.each([
    [[3, 2, 1], [5, 3, 2, 1], 'descendant'],
    [[3, 2, 1], [3, 2, 1], 'family'],
    [[3, 2, 1], [1], 'family'],
    [[3, 2, 1], [4, 2, 1], 'family'],
    [[1], [1], 'family'],
    [[3, 2, 1], [9], 'stranger'],
    [[1], [9, 8], 'stranger'],
  ] as const)('know a key by the line %j from another one of %j as %s', (caller, target, kinship) => {
    expect(kinshipOf(caller, target)).toBe(kinship);
  });

  it('find a pattern within others exactly where every name that it matches is matched by them', () => {
    const pattern = fc.string({ unit: fc.constantFrom('a', 'b', '*'), maxLength: 5 });
    // `c` stands for all that no pattern mentions.
    const someTexts = fc.array(fc.string({ unit: fc.constantFrom('a', 'b', 'c'), maxLength: 7 }), {
      minLength: 40,
      maxLength: 40,
    });
    fc.assert(
      fc.property(
        fc.uniqueArray(pattern, { minLength: 1, maxLength: 3 }),
        pattern,
        someTexts,
        (outer, inner, texts) => {
          const isWithin = patternCover(outer)(inner);
          const matches = (one: string) => nameMatcher([inner])!.matches(one);
          const isBeyond = (one: string) => matches(one) && !nameMatcher(outer)!.matches(one);
          if (isWithin) expect(texts.filter(isBeyond)).toEqual([]);
          // A name in which every star stands for what nobody mentions.
          else expect(isBeyond(inner.replaceAll('*', 'c'))).toBe(true);
        },
      ),
      { numRuns: 1_500 },
    );
  });
});
