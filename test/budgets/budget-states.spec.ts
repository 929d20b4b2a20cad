import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import type { ApiClient } from '../support/api-client.js';
import { chainAccounts, endMonthOf, heldId, keyWithBudget, step } from '../support/budgets.js';
import { logIn, TestApp, ADMIN, type TestApiKey } from '../support/test-app.js';

const BOUND_MS = 5_000;

describe('what a budget stands at', { timeout: 60_000 }, () => {
  let here: TestApp;
  let there: TestApp;
  let elsewhere: ApiClient;
  beforeAll(async () => {
    here = await TestApp.start();
    there = await TestApp.start({ database: here.database });
    elsewhere = await logIn(there.anonymous, ADMIN.username, ADMIN.password);
  });
  afterAll(async () => {
    await there.stop();
    await here.stop();
  });

  async function verdict(client: ApiClient, key: TestApiKey) {
    const { status, body } = await client.post('/api-keys/verify', { key: key.secret });
    return { status, code: body['code'], budget: body['budget'] };
  }

  /** Resolves when the client sees this code; fails when it does not within the bound. */
  async function seen(client: ApiClient, key: TestApiKey, code: string): Promise<number> {
    const startedAt = performance.now();
    await vi.waitUntil(async () => (await verdict(client, key)).code === code, {
      timeout: BOUND_MS + 1_000,
      interval: 50,
    });
    return performance.now() - startedAt;
  }

  it('is current on the instance that changed it, and within five seconds on the others', async () => {
    const key = await keyWithBudget(here, 10);
    expect((await verdict(elsewhere, key)).code).toBe('VALID');
    const id = await heldId(here.admin, key, 10);
    expect((await verdict(here.admin, key)).code).toBe('BUDGET_EXCEEDED');
    expect(await seen(elsewhere, key, 'BUDGET_EXCEEDED')).toBeLessThan(BOUND_MS);
    await step(elsewhere, id, 'settle', { cost_cents: 4 });
    expect(await verdict(elsewhere, key)).toMatchObject({
      code: 'VALID',
      budget: { spent_cents_decimal: '4.000000', held_cents_decimal: '0.000000' },
    });
    expect(await seen(here.admin, key, 'VALID')).toBeLessThan(BOUND_MS);
  });

  it('is current as soon as a change of the limit is answered', async () => {
    const key = await keyWithBudget(here, 10);
    await heldId(here.admin, key, 5);
    for (const [limit, code] of [
      [5, 'BUDGET_EXCEEDED'],
      [6, 'VALID'],
      [4, 'BUDGET_EXCEEDED'],
      [100, 'VALID'],
    ] as const) {
      await here.admin.put(`/api-keys/${key.id}`, { budget_limit_cents: limit });
      expect(await verdict(here.admin, key)).toMatchObject({ code, budget: { limit_cents: limit } });
    }
  });

  it('binds a key through every account above it', async () => {
    const keys = await Promise.all([100, 100, 10].map((limit) => keyWithBudget(here, limit)));
    const [key, , top] = keys as [TestApiKey, TestApiKey, TestApiKey];
    await chainAccounts(here.database, ...keys.map(({ id }) => id));
    expect((await verdict(here.admin, key)).code).toBe('VALID');
    const id = await heldId(here.admin, top, 10);
    expect(await verdict(here.admin, key)).toMatchObject({
      code: 'BUDGET_EXCEEDED',
      budget: { limit_cents: 100, held_cents_decimal: '0.000000' },
    });
    await step(here.admin, id, 'release');
    expect((await verdict(here.admin, key)).code).toBe('VALID');
    await heldId(here.admin, key, 10);
    for (const each of keys)
      expect((await verdict(here.admin, each)).budget.held_cents_decimal).toBe('10.000000');
    expect((await verdict(here.admin, top)).code).toBe('BUDGET_EXCEEDED');
  });

  it('begins anew with a month, before anything was written in it', async () => {
    const key = await keyWithBudget(here, 10, { budget_type: 'monthly' });
    await heldId(here.admin, key, 10);
    expect((await verdict(here.admin, key)).code).toBe('BUDGET_EXCEEDED');
    await endMonthOf(here.database, key.id);
    await seen(here.admin, key, 'VALID');
    expect((await verdict(here.admin, key)).budget).toMatchObject({
      held_cents_decimal: '0.000000',
      period_start: expect.stringMatching(/-01T00:00:00\.000Z$/),
    });
  });

  it('is answered from memory for five seconds while the database cannot say, and is then 503', async () => {
    const key = await keyWithBudget(here, 10);
    const unlimited = await here.apiKey();
    expect((await verdict(here.admin, key)).code).toBe('VALID');
    await verdict(here.admin, unlimited);
    await here.database.query(`
      ALTER FUNCTION budget_states(bigint[]) RENAME TO real_budget_states;
      CREATE FUNCTION budget_states(keys bigint[]) RETURNS json LANGUAGE sql AS $$ SELECT '{}'::json FROM pg_sleep(2) $$`);
    try {
      const sentAt = performance.now();
      const slowest = { ms: 0 };
      await vi.waitUntil(
        async () => {
          const askedAt = performance.now();
          const { status } = await verdict(here.admin, key);
          slowest.ms = Math.max(slowest.ms, performance.now() - askedAt);
          return status === 503;
        },
        { timeout: BOUND_MS + 2_000, interval: 20 },
      );
      expect(performance.now() - sentAt).toBeGreaterThan(BOUND_MS - 1_500);
      expect(slowest.ms).toBeLessThan(1_000);
      expect((await verdict(here.admin, unlimited)).code).toBe('VALID');
    } finally {
      await here.database.query(`
        DROP FUNCTION budget_states(bigint[]); ALTER FUNCTION real_budget_states(bigint[]) RENAME TO budget_states`);
    }
    await seen(here.admin, key, 'VALID');
  });
});
