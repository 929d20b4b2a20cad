import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { ApiClient } from '../support/api-client.js';
import { untilAnswered } from '../support/api-keys.js';
import { TestApp, type TestUser } from '../support/test-app.js';

const SEED = Number(process.env['LINEAGE_SEED'] ?? Math.floor(Math.random() * 1e9));
const LINES = 8;
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
const origin = fc.record({ allowed_ips: ips, allowed_models: names, allowed_chatbots: names, scopes });
const step = fc.record({
  caller: fc.nat(),
  target: fc.nat(),
  action: fc.constantFrom('create', 'create', 'change', 'change', 'regenerate', 'activate'),
  fields,
});
const question = fc.record({
  ip: fc.constantFrom('127.0.0.1', '127.0.0.2', '10.0.0.1', '192.0.2.1', '2001:db8::1'),
  model: fc.constantFrom('gpt-4', 'gpt-4o', 'gpt-5', 'claude-3', 'other'),
  chatbot: fc.constantFrom('gpt-4', 'gpt-5', 'claude-3', 'other'),
  scopes: fc.constantFrom<string[]>([], ['chat'], ['admin'], ['chat', 'admin']),
});

type Step = typeof step extends fc.Arbitrary<infer Value> ? Value : never;

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
