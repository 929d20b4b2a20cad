import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { askToHold, chainAccounts, heldId, keyWithBudget, step, storedAccount } from '../support/budgets.js';
import { expectProblem } from '../support/problems.js';
import { TestApp, type TestApiKey, type TestUser } from '../support/test-app.js';

/** What makes a verdict refuse a key before it looks at what is asked, and the code of that verdict. */
const REFUSALS = [
  ['is deactivated', 'DISABLED', 'UPDATE api_keys SET is_active = false WHERE id = $1'],
  ['has expired', 'EXPIRED', `UPDATE api_keys SET expires_at = now() - interval '1 second' WHERE id = $1`],
  [
    'has expired and is deactivated',
    'DISABLED',
    `UPDATE api_keys SET expires_at = now() - interval '1 second', is_active = false WHERE id = $1`,
  ],
  [
    'has a disabled owner',
    'DISABLED',
    'UPDATE users SET is_active = false WHERE id = (SELECT user_id FROM api_keys WHERE id = $1)',
  ],
  [
    'has an owner who is gone',
    'DISABLED',
    'UPDATE users SET deleted_at = now() WHERE id = (SELECT user_id FROM api_keys WHERE id = $1)',
  ],
] as const;

describe('a hold is granted only where a verdict would not refuse the key', () => {
  let app: TestApp;
  let service: TestUser;
  beforeAll(async () => {
    app = await TestApp.start();
    service = await app.user({ role: 'service' });
  });
  afterAll(() => app.stop());

  /** A key of an owner of its own, with a budget. */
  async function ownedKey(fields: Record<string, unknown> = {}): Promise<TestApiKey> {
    const owner = await app.user();
    return app.apiKeyOf(owner, { is_unlimited: false, budget_limit_cents: 100, ...fields });
  }

  it.each(REFUSALS)('not when it %s: %s', async (_how, verdict, change) => {
    const [key, healthy] = [await ownedKey(), await keyWithBudget(app, 100)];
    const repeated = await askToHold(service.client, key, 1, { request_id: 'before' });
    await app.database.query(change, [key.id]);
    const body = { key: key.secret, amount_cents: 1, ttl_seconds: 60 };
    const [byId, bySecret, ofAnother, again] = await Promise.all([
      askToHold(service.client, key, 1),
      service.client.post('/budget-holds', body),
      askToHold(service.client, healthy, 1),
      askToHold(service.client, key, 1, { request_id: 'before' }),
    ]);
    for (const refusal of [byId, bySecret]) {
      expectProblem(refusal, 'budget_hold.key_refused');
      expect(refusal.body['verdict']).toBe(verdict);
    }
    expect(ofAnother.status).toBe(201);
    // What was granted before is granted, and can be settled: its cost is real.
    expect([again.status, again.body['id']]).toEqual([201, repeated.body['id']]);
    expect((await step(service.client, again.body['id'], 'settle', { cost_cents: 1 })).status).toBe(200);
    expect(await storedAccount(app.database, key.id)).toMatchObject({ spent: 1_000_000n, held: 0n });
    const asked = await service.client.post('/api-keys/verify', {
      key: key.secret,
      hold_cents: 1,
      hold_ttl_seconds: 9,
    });
    expect(asked.body).toMatchObject({ valid: false, code: verdict });
    expect(asked.body).not.toHaveProperty('hold_id');
  });

  it.each(REFUSALS.slice(0, 3))('nor when a key that it came from %s: %s', async (_how, verdict, change) => {
    const owner = await app.user({ permissions: ['platform:*'] });
    const scopes = ['platform:api-keys:create'];
    const first = await app.apiKey(owner.client, { scopes });
    const second = await app.apiKey(app.anonymous.withApiKey(first.secret), { scopes });
    const third = await app.apiKey(app.anonymous.withApiKey(second.secret));
    expect((await askToHold(service.client, third, 1)).status).toBe(201);
    await app.database.query(change, [first.id]);
    for (const key of [second, third]) {
      const refusal = await askToHold(service.client, key, 1);
      expectProblem(refusal, 'budget_hold.key_refused');
      expect(refusal.body['verdict']).toBe(verdict);
      const asked = await service.client.post('/api-keys/verify', { key: key.secret });
      expect(asked.body['code']).toBe(verdict);
    }
  });

  it('nor under a budget above it that has room', async () => {
    const [key, above] = [await ownedKey(), await keyWithBudget(app, 100)];
    await heldId(service.client, key, 1);
    await heldId(service.client, above, 1);
    await chainAccounts(app.database, key.id, above.id);
    await app.database.query('UPDATE api_keys SET is_active = false WHERE id = $1', [key.id]);
    expectProblem(await askToHold(service.client, key, 1), 'budget_hold.key_refused');
    expect((await storedAccount(app.database, above.id)).held).toBe(1_000_000n);
  });

  it('and the verdict of the database is final: memory that is older grants nothing', async () => {
    const key = await ownedKey({ is_unlimited: true, budget_limit_cents: undefined });
    const ask = () =>
      service.client.post('/api-keys/verify', { key: key.secret, hold_cents: 1, hold_ttl_seconds: 60 });
    expect((await ask()).body['code']).toBe('VALID');
    // As an instance that has not heard of a change yet: no trigger tells of it.
    await app.database.query('ALTER TABLE api_keys DISABLE TRIGGER USER');
    await app.database.query('UPDATE api_keys SET is_active = false WHERE id = $1', [key.id]);
    await app.database.query('ALTER TABLE api_keys ENABLE TRIGGER USER');
    expect((await ask()).body).toMatchObject({ valid: false, code: 'DISABLED' });
    const [count] = await app.database.query(
      'SELECT count(*)::int AS holds FROM budget_holds WHERE api_key_id = $1',
      [key.id],
    );
    expect(count).toEqual({ holds: 1 });
  });
});
