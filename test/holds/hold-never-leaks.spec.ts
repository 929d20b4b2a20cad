import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { AppProcess } from '../support/app-process.js';
import { askToHold, storedAccount } from '../support/budgets.js';
import { createTestDatabase, type TestDatabase } from '../support/database.js';
import { testEnvironment, type TestApiKey } from '../support/test-app.js';

const HOLDS = 200;
const TTL_SECONDS = 3;
/** How late a hold may be given back. */
const GRACE_SECONDS = 5;

describe('R3: a hold never leaks', { timeout: 120_000 }, () => {
  let database: TestDatabase;
  let instances: AppProcess[];
  const start = () => AppProcess.start(testEnvironment(database.url));
  beforeAll(async () => {
    database = await createTestDatabase();
    instances = [await start(), await start()];
  }, 120_000);
  afterAll(async () => {
    await Promise.all(instances.map((instance) => instance.kill9()));
    await database.drop();
  });

  it('when the instance that took it is killed: its time and five seconds later nothing is held', async () => {
    const [killed, survivor] = instances as [AppProcess, AppProcess];
    const [admin, survivingAdmin] = await Promise.all([killed.admin(), survivor.admin()]);
    const fields = { name: 'A key', is_unlimited: false, budget_limit_cents: HOLDS };
    const key = (await admin.post('/api-keys', fields)).body['api_key'] as TestApiKey;
    const answers = await Promise.all(
      Array.from({ length: HOLDS }, () => askToHold(admin, key, 1, { ttl_seconds: TTL_SECONDS })),
    );
    expect(answers.every(({ status }) => status === 201)).toBe(true);
    await killed.kill9();
    expect((await storedAccount(database, key.id)).held).toBe(BigInt(HOLDS) * 1_000_000n);
    const lastEndsAt = Math.max(...answers.map(({ body }) => Date.parse(body['expires_at'])));
    await vi.waitUntil(async () => (await storedAccount(database, key.id)).held === 0n, {
      timeout: (TTL_SECONDS + GRACE_SECONDS + 5) * 1_000,
      interval: 50,
    });
    expect(Date.now()).toBeGreaterThanOrEqual(lastEndsAt - 100);
    expect(Date.now()).toBeLessThan(lastEndsAt + GRACE_SECONDS * 1_000);
    const statuses = await database.query('SELECT DISTINCT status FROM budget_holds WHERE api_key_id = $1', [
      key.id,
    ]);
    expect(statuses).toEqual([{ status: 'lapsed' }]);
    expect((await askToHold(survivingAdmin, key, HOLDS)).status).toBe(201);
  });

  it('when all were killed: once one runs again', async () => {
    const survivor = instances[1]!;
    const fields = { name: 'A key', is_unlimited: false, budget_limit_cents: 10 };
    const admin = await survivor.admin();
    const key = (await admin.post('/api-keys', fields)).body['api_key'] as TestApiKey;
    expect((await askToHold(admin, key, 10, { ttl_seconds: 1 })).status).toBe(201);
    await survivor.kill9();
    instances = [await start()];
    await vi.waitUntil(async () => (await storedAccount(database, key.id)).held === 0n, {
      timeout: GRACE_SECONDS * 1_000,
      interval: 50,
    });
  });
});
