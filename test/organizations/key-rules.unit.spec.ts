import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { RuledKey } from '../../src/organizations/key-checks.policy.js';
import { type KeyRules, toKeyRules } from '../../src/organizations/key-rules.js';
import {
  breaksFromMs,
  contradictions,
  defaultExpiry,
  narrowed,
  violationsOf,
  wideningErrors,
} from '../../src/organizations/key-rules.policy.js';

const DAY_MS = 86_400_000;
const NOW = new Date('2030-06-15T12:00:00Z');
const inDays = (days: number) => new Date(NOW.getTime() + days * DAY_MS);

const KEY: RuledKey = {
  name: 'billing-worker',
  scopes: ['chat:read'],
  allowedIps: ['203.0.113.7'],
  allowedModels: ['gpt-4o'],
  expiresAt: inDays(30),
  createdAt: NOW,
  isUnlimited: false,
  budgetLimitCents: 500,
  ownerKind: 'service',
  secretCreatedAt: NOW,
};

const rules = (some: Partial<KeyRules>) => toKeyRules(some);
const broken = (some: Partial<KeyRules>, key: Partial<RuledKey> = {}, at = NOW) =>
  violationsOf(narrowed(rules(some), null), { ...KEY, ...key }, at.getTime()).map(
    ({ rule, field }) => `${rule} by ${field}`,
  );

describe('a rule of a policy', () => {
  it.each<[rule: Partial<KeyRules>, key: Partial<RuledKey>, broken: string[]]>([
    [{ max_ttl_days: 30 }, {}, []],
    [{ max_ttl_days: 30 }, { expiresAt: new Date(inDays(30).getTime() + 1) }, ['max_ttl_days by expires_at']],
    [{ max_ttl_days: 30 }, { expiresAt: null }, ['max_ttl_days by expires_at']],
    [{ required_ips: ['203.0.113.0/24'] }, {}, []],
    [{ required_ips: ['203.0.113.0/24'] }, { allowedIps: [] }, ['required_ips by allowed_ips']],
    [
      { required_ips: ['203.0.113.0/24'] },
      { allowedIps: ['203.0.112.0/23'] },
      ['required_ips by allowed_ips'],
    ],
    [{ allowed_scopes: ['chat:*'] }, {}, []],
    [{ allowed_scopes: ['chat:*'] }, { scopes: [] }, []],
    [{ allowed_scopes: ['chat:*'] }, { scopes: ['chat:read', 'admin'] }, ['allowed_scopes by scopes']],
    [{ allowed_models: ['gpt-4*'] }, {}, []],
    [{ allowed_models: ['gpt-4*'] }, { allowedModels: ['gpt-*'] }, ['allowed_models by allowed_models']],
    [{ allowed_models: ['gpt-4*'] }, { allowedModels: [] }, ['allowed_models by allowed_models']],
    [{ name_pattern: 'billing-*' }, {}, []],
    [{ name_pattern: 'billing-*' }, { name: 'worker' }, ['name_pattern by name']],
    [{ require_budget: true }, {}, []],
    [
      { require_budget: true },
      { isUnlimited: true, budgetLimitCents: null },
      ['require_budget by is_unlimited'],
    ],
    [{ max_budget_cents: 500 }, {}, []],
    [{ max_budget_cents: 499 }, {}, ['max_budget_cents by budget_limit_cents']],
    [
      { max_budget_cents: 500 },
      { isUnlimited: true, budgetLimitCents: null },
      ['max_budget_cents by budget_limit_cents'],
    ],
    [{ personal_keys: 'deny' }, {}, []],
    [{ personal_keys: 'deny' }, { ownerKind: 'person' }, ['personal_keys by user_id']],
    [{ rotate_after_days: 10 }, { secretCreatedAt: new Date(inDays(-10).getTime() + 1) }, []],
    [{ rotate_after_days: 10 }, { secretCreatedAt: inDays(-10) }, ['rotate_after_days by secrets']],
  ])('%j judges a key with %j', (rule, key, expected) => {
    expect(broken(rule, key)).toEqual(expected);
  });

  it('binds nothing where it is null, an empty list, false or `allow`', () => {
    const nothing = {
      required_ips: [],
      allowed_scopes: [],
      allowed_models: [],
      require_budget: false,
    } as const;
    expect(broken({ ...nothing, personal_keys: 'allow' }, { allowedIps: [], allowedModels: [] })).toEqual([]);
    expect(broken({})).toEqual([]);
  });

  it('is judged of the changed fields alone where a change names them', () => {
    const both = narrowed(rules({ name_pattern: 'x', max_ttl_days: 1 }), rules({ max_budget_cents: 1 }));
    const of = (fields: string[]) => violationsOf(both, KEY, NOW.getTime(), fields).map(({ rule }) => rule);
    expect(of(['description'])).toEqual([]);
    expect(of(['name'])).toEqual(['name_pattern']);
    expect(of(['is_unlimited'])).toEqual(['max_budget_cents']);
    expect(violationsOf(both, KEY, NOW.getTime())).toEqual([
      expect.objectContaining({ message: expect.stringContaining('policy of the organization') as string }),
      expect.objectContaining({ message: expect.stringContaining('policy of the organization') as string }),
      expect.objectContaining({ message: expect.stringContaining('policy of the project') as string }),
    ]);
  });
});

describe('the moment from which a key breaks a policy for verdicts', () => {
  const from = (...policies: Partial<KeyRules>[]) => breaksFromMs(policies.map(rules), KEY);

  it('is never for rules that bind new keys alone, and for a key that obeys', () => {
    expect(from({ name_pattern: 'x' }, { name_pattern: 'x', enforcement: 'new_keys' })).toBe(Infinity);
    expect(from({ name_pattern: '*', enforcement: 'all' })).toBe(Infinity);
    expect(from()).toBe(Infinity);
  });

  it('is the moment from which the policy is enforced, or always', () => {
    expect(from({ name_pattern: 'x', enforcement: 'all' })).toBe(-Infinity);
    const enforced_from = inDays(3).toISOString();
    expect(from({ name_pattern: 'x', enforcement: 'all', enforced_from })).toBe(inDays(3).getTime());
  });

  it('is the day on which its secret is too old, unless the policy is enforced later', () => {
    expect(from({ rotate_after_days: 5, enforcement: 'all' })).toBe(inDays(5).getTime());
    const enforced_from = inDays(7).toISOString();
    expect(from({ rotate_after_days: 5, enforcement: 'all', enforced_from })).toBe(inDays(7).getTime());
  });

  it('is the earliest of those of its organization and its project, each with an enforcement of its own', () => {
    const [late, early] = [inDays(9).toISOString(), inDays(2).toISOString()];
    const enforced = (enforced_from: string) =>
      ({ name_pattern: 'x', enforcement: 'all', enforced_from }) as const;
    expect(from(enforced(late), enforced(early))).toBe(inDays(2).getTime());
    expect(from(enforced(late), { name_pattern: 'x', enforcement: 'new_keys' })).toBe(inDays(9).getTime());
  });
});

describe('a policy of a project', () => {
  const widening = (organization: Partial<KeyRules>, project: Partial<KeyRules>) =>
    wideningErrors(rules(organization), rules(project)).map(({ field }) => field);

  it.each<[organization: Partial<KeyRules>, narrower: Partial<KeyRules>, wider: Partial<KeyRules>]>([
    [{ max_ttl_days: 30 }, { max_ttl_days: 30 }, { max_ttl_days: 31 }],
    [{ required_ips: ['10.0.0.0/8'] }, { required_ips: ['10.1.0.0/16'] }, { required_ips: ['0.0.0.0/0'] }],
    [{ allowed_scopes: ['chat:*'] }, { allowed_scopes: ['chat:read'] }, { allowed_scopes: ['*'] }],
    [{ allowed_models: ['gpt-*'] }, { allowed_models: ['gpt-4*'] }, { allowed_models: ['gpt-4', 'o3'] }],
    [{ name_pattern: 'a-*' }, { name_pattern: 'a-b-*' }, { name_pattern: '*-b' }],
    [{ max_keys: 5 }, { max_keys: 0 }, { max_keys: 6 }],
    [{ max_keys_per_member: 5 }, { max_keys_per_member: 5 }, { max_keys_per_member: 6 }],
    [{ require_budget: true }, { require_budget: true }, { require_budget: false }],
    [{ max_budget_cents: 5 }, { max_budget_cents: 4 }, { max_budget_cents: 6 }],
    [{ personal_keys: 'deny' }, { personal_keys: 'deny' }, { personal_keys: 'allow' }],
    [{ rotate_after_days: 5 }, { rotate_after_days: 5 }, { rotate_after_days: 6 }],
  ])('under %j may say %j, and not %j', (organization, narrower, wider) => {
    expect(widening(organization, narrower)).toEqual([]);
    expect(widening(organization, {})).toEqual([]);
    expect(widening(organization, wider)).toEqual(Object.keys(wider));
  });

  it('gives new keys its own expiry before that of the organization, and neither beyond a maximum', () => {
    const of = (organization: Partial<KeyRules>, project: Partial<KeyRules>) =>
      defaultExpiry(narrowed(rules(organization), rules(project)), NOW);
    expect(of({}, {})).toBe(null);
    expect(of({ default_ttl_days: 9 }, {})).toEqual(inDays(9));
    expect(of({ default_ttl_days: 9 }, { default_ttl_days: 12 })).toEqual(inDays(12));
    expect(of({ default_ttl_days: 9 }, { max_ttl_days: 3 })).toEqual(inDays(3));
    expect(contradictions(rules({ default_ttl_days: 9, max_ttl_days: 8 }))).toEqual([
      { field: 'default_ttl_days', message: 'must be at most 8, the max_ttl_days' },
    ]);
  });

  it('never lets a key live that the organization refuses, whatever it says', () => {
    const names = fc.array(fc.constantFrom('a', 'a-*', '*-b', 'a-b', '*'), { maxLength: 3 });
    const addresses = fc.array(fc.constantFrom('10.0.0.0/8', '10.1.0.0/16', '0.0.0.0/0'), { maxLength: 2 });
    const days = fc.option(fc.integer({ min: 1, max: 60 }));
    const policy = fc.record({
      max_ttl_days: days,
      required_ips: addresses,
      allowed_scopes: names,
      allowed_models: names,
      name_pattern: fc.option(fc.constantFrom('a', 'a-*', '*-b', '*')),
      require_budget: fc.option(fc.boolean()),
      max_budget_cents: fc.option(fc.integer({ min: 0, max: 600 })),
      personal_keys: fc.option(fc.constantFrom('allow' as const, 'deny' as const)),
      rotate_after_days: days,
      enforcement: fc.option(fc.constantFrom('all' as const, 'new_keys' as const)),
    });
    const key = fc.record({
      name: fc.constantFrom('a', 'a-b', 'c-b', 'd'),
      scopes: names,
      allowedIps: addresses,
      allowedModels: names,
      expiresAt: fc.option(fc.integer({ min: 1, max: 60 }).map(inDays)),
      createdAt: fc.constant(NOW),
      secretCreatedAt: fc.integer({ min: -60, max: 0 }).map(inDays),
      ownerKind: fc.constantFrom('person' as const, 'service' as const),
      isUnlimited: fc.boolean(),
      budgetLimitCents: fc.option(fc.integer({ min: 0, max: 600 })),
    });
    fc.assert(
      fc.property(policy, policy, key, (above, below, judged) => {
        const [organization, project] = [rules(above), rules(below)];
        const count = (...of: Parameters<typeof narrowed>) =>
          violationsOf(narrowed(...of), judged, NOW.getTime()).length;
        const [alone, own] = [count(organization, null), count(null, project)];
        expect(count(organization, project)).toBe(alone + own);
        const both = breaksFromMs([organization, project], judged);
        expect(both).toBe(Math.min(breaksFromMs([organization], judged), breaksFromMs([project], judged)));
        // What passes the narrower of two policies passes the wider one, rule by rule.
        if (wideningErrors(organization, project).length > 0) return;
        const ofProject = violationsOf(narrowed(null, project), judged, NOW.getTime());
        const ofOrganization = violationsOf(narrowed(organization, null), judged, NOW.getTime());
        const stated = (name: string) => {
          const value = project[name as keyof KeyRules];
          return value !== null && !(Array.isArray(value) && value.length === 0);
        };
        for (const { rule } of ofOrganization.filter((violation) => stated(violation.rule)))
          expect(ofProject.map((violation) => violation.rule)).toContain(rule);
      }),
      { numRuns: 2_000 },
    );
  });
});
