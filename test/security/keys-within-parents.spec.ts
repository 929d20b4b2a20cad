import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { ApiClient } from '../support/api-client.js';
import { untilAnswered } from '../support/api-keys.js';
import { TestApp, type TestUser } from '../support/test-app.js';

const SEED = Number(process.env['LINEAGE_SEED'] ?? Math.floor(Math.random() * 1e9));
const LINES = 14;
const STEPS = 12;
const MANAGE = ['platform:api-keys:create', 'platform:api-keys:update'];

const sometimes = <Value>(value: fc.Arbitrary<Value>) => fc.option(value, { nil: undefined, freq: 2 });
const ips = fc.constantFrom<string[]>(
  [],
  ['127.0.0.0/8'],
  ['127.0.0.1', '10.0.0.0/8'],
  ['0.0.0.0/0', '::/0'],
);
const names = fc.constantFrom<string[]>([], ['*'], ['gpt-*'], ['gpt-4', 'claude-*'], ['gpt-4*']);
const scopes = fc.constantFrom<string[]>(MANAGE, [...MANAGE, 'chat'], [...MANAGE, 'chat', 'admin']);
const DAYS_AHEAD = [1, 10, 100].map((days) => new Date(Date.now() + days * 86_400_000).toISOString());
const expiry = fc.constantFrom(null, ...DAYS_AHEAD);
const limit = fc.constantFrom(null, 5, 50, 500);
const budget = fc.constantFrom<{ is_unlimited?: boolean; budget_limit_cents?: number }>(
  { is_unlimited: true },
  ...[10, 100, 1_000].map((cents) => ({ is_unlimited: false, budget_limit_cents: cents })),
);
const limits = {
  rate_limit_per_minute: limit,
  rate_limit_per_hour: limit,
  rate_limit_per_day: limit,
};
/** Mostly absent, and mostly narrow, so that much of it is granted. */
const perhaps = (narrow: object, ...others: fc.Arbitrary<object>[]) =>
  fc.oneof(
    { weight: 8, arbitrary: fc.constant({}) },
    { weight: 3, arbitrary: fc.constant(narrow) },
    { weight: 1, arbitrary: fc.oneof(...others) },
  );
const narrowing = fc
  .tuple(
    perhaps({ expires_at: DAYS_AHEAD[0] }, fc.record({ expires_at: expiry })),
    perhaps({ rate_limit_per_minute: 5 }, fc.record(limits, { requiredKeys: [] })),
    perhaps({ is_unlimited: false, budget_limit_cents: 10 }, budget),
  )
  .map((parts): Record<string, unknown> => Object.assign({}, ...parts) as Record<string, unknown>);
const fields = fc.record(
  {
    allowed_ips: sometimes(ips),
    allowed_models: sometimes(names),
    allowed_chatbots: sometimes(names),
    scopes: sometimes(scopes),
    is_active: sometimes(fc.constant(true)),
  },
  { requiredKeys: ['allowed_ips', 'allowed_models', 'allowed_chatbots', 'scopes'] },
);
const lists = fc.record({ allowed_ips: ips, allowed_models: names, allowed_chatbots: names, scopes });
const origin = fc
  .tuple(lists, fc.record({ expires_at: expiry, ...limits }), budget)
  .map(([ofLists, ofLimits, ofBudget]) => ({ ...ofLists, ...ofLimits, ...ofBudget }));
const step = fc.record({
  caller: fc.nat(),
  target: fc.nat(),
  action: fc.constantFrom('create', 'create', 'create', 'change', 'change', 'regenerate', 'activate'),
  fields: fc.tuple(fields, narrowing).map(([ofLists, others]) => ({ ...ofLists, ...others })),
});
const question = fc.record({
  ip: fc.constantFrom('127.0.0.1', '127.0.0.2', '10.0.0.1', '192.0.2.1', '2001:db8::1'),
  model: fc.constantFrom('gpt-4', 'gpt-4o', 'gpt-5', 'claude-3', 'other'),
  chatbot: fc.constantFrom('gpt-4', 'gpt-5', 'claude-3', 'other'),
  scopes: fc.constantFrom<string[]>([], ['chat'], ['admin'], ['chat', 'admin']),
  // It only looks: rate limits are compared, not used up.
  cost: fc.constant(0),
});

type Step = typeof step extends fc.Arbitrary<infer Value> ? Value : never;

/** How much a key may by the verdict about it: the moment of its end, requests for each window, cents. */
type Extent = Readonly<Record<'expiry' | 'minute' | 'hour' | 'day' | 'budget', number>>;

/** What a verdict shows of how much a key may. */
interface Shown {
  readonly expires_at: string | null;
  readonly rate_limits: readonly { readonly window: string; readonly limit: number }[];
  readonly budget: { readonly limit_cents: number } | null;
}

function extentOf({ expires_at: expiresAt, rate_limits: windows, budget: balance }: Shown): Extent {
  const limitOf = (name: string) => windows.find(({ window }) => window === name)?.limit ?? Infinity;
  return {
    expiry: expiresAt === null ? Infinity : Date.parse(expiresAt),
    minute: limitOf('minute'),
    hour: limitOf('hour'),
    day: limitOf('day'),
    budget: balance?.limit_cents ?? Infinity,
  };
}

/** Where a key may more than each of the bounds. */
function excess(extent: Extent, bounds: readonly Extent[]): string[] {
  return Object.entries(extent)
    .filter(([name, value]) => bounds.every((bound) => value > bound[name as keyof Extent]))
    .map(([name, value]) => `${name}: ${value}`);
}

interface Key {
  readonly id: number;
  readonly secret: string;
  readonly isStranger: boolean;
}

describe(`a key never exceeds its parent (LINEAGE_SEED=${SEED})`, { timeout: 120_000 }, () => {
  let app: TestApp;
  let owner: TestUser;
  beforeAll(async () => {
    app = await TestApp.start();
    owner = await app.user({ role: 'developer' });
  });
  afterAll(() => app.stop());

  /** Which of the questions each secret is admitted for. */
  async function admitted(secrets: readonly string[], questions: readonly object[]): Promise<boolean[][]> {
    return Promise.all(
      secrets.map(async (key) => {
        const requests = questions.map((asked) => ({ key, ...asked }));
        const { status, body } = await untilAnswered(() =>
          app.admin.post('/api-keys/verify/batch', { requests }),
        );
        expect(status).toBe(200);
        return (body['verdicts'] as { valid: boolean }[]).map(({ valid }) => valid);
      }),
    );
  }

  async function extents(secrets: readonly string[]): Promise<Extent[]> {
    const requests = secrets.map((key) => ({ key, cost: 0 }));
    const { body } = await untilAnswered(() => app.admin.post('/api-keys/verify/batch', { requests }));
    return (body['verdicts'] as Shown[]).map(extentOf);
  }

  it('whatever it and what came from it create and change, one after the other', async () => {
    const sequences = fc.sample(
      fc.tuple(origin, origin, fc.array(step, { minLength: STEPS, maxLength: STEPS })),
      { seed: SEED, numRuns: LINES },
    );
    const questions = fc.sample(question, { seed: SEED, numRuns: 100 });
    const counts = { created: 0, changed: 0, refused: 0 };
    for (const [policy, foreignPolicy, steps] of sequences) {
      const root = await app.apiKey(owner.client, policy);
      const foreign = await app.apiKey(owner.client, foreignPolicy);
      const before = await admitted([root.secret, foreign.secret], questions);
      // What the root itself admits cannot grow, so what it admitted first is the bound.
      const [ofRoot, ofForeign] = before as [boolean[], boolean[]];
      const [rootExtent, foreignExtent] = (await extents([root.secret, foreign.secret])) as [Extent, Extent];
      const keys: Key[] = [
        { ...root, isStranger: false },
        { ...foreign, isStranger: true },
      ];
      for (const one of steps) await take(keys, one, counts);
      const after = await admitted(
        keys.map(({ secret }) => secret),
        questions,
      );
      for (const [index, { id, isStranger }] of keys.entries()) {
        const beyond = questions.filter(
          (_asked, at) => after[index]![at] && !ofRoot[at] && !(isStranger && ofForeign[at]),
        );
        expect({ policy, foreignPolicy, steps, id, beyond }).toMatchObject({ beyond: [] });
      }
      const extended = await extents(keys.map(({ secret }) => secret));
      for (const [index, { id, isStranger }] of keys.entries()) {
        const beyond = excess(extended[index]!, isStranger ? [rootExtent, foreignExtent] : [rootExtent]);
        expect({ policy, foreignPolicy, steps, id, beyond }).toMatchObject({ beyond: [] });
      }
      await untilAnswered(() => owner.client.post(`/api-keys/${root.id}/deactivate`));
      const ended = await admitted(
        keys.filter(({ isStranger }) => !isStranger).map(({ secret }) => secret),
        questions,
      );
      expect(ended.flat().filter(Boolean)).toEqual([]);
    }
    // Enough was done, and enough was refused, for this to mean something.
    for (const [what, count] of Object.entries(counts)) expect([what, count > 3]).toEqual([what, true]);
  });

  /** One step by a key of the line; what it learns of secrets is kept. */
  async function take(
    keys: Key[],
    { caller, target, action, fields: wanted }: Step,
    counts: { created: number; changed: number; refused: number },
  ): Promise<void> {
    const line = keys.filter(({ isStranger }) => !isStranger);
    const client: ApiClient = app.anonymous.withApiKey(line[caller % line.length]!.secret);
    const aim = keys[target % keys.length]!;
    const { is_active: _, ...created } = wanted;
    const path = action === 'create' ? '/api-keys' : `/api-keys/${aim.id}`;
    const answer = await untilAnswered(() => {
      if (action === 'create') return client.post(path, { name: 'A key', ...created });
      return action === 'change' ? client.put(path, wanted) : client.post(`${path}/${action}`);
    });
    expect([200, 201, 401, 403, 422]).toContain(answer.status);
    if (answer.status === 201) {
      counts.created += 1;
      keys.push({ id: answer.body['api_key'].id, secret: answer.body['secret_key'], isStranger: false });
    } else if (answer.status === 200) {
      counts.changed += 1;
      if (action === 'regenerate') keys[keys.indexOf(aim)] = { ...aim, secret: answer.body['secret_key'] };
    } else if (answer.status !== 401) counts.refused += 1;
  }
});
