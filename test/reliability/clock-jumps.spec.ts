import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ClockGuard } from '../../src/jobs/clock-guard.service.js';
import { Maintenance } from '../../src/jobs/maintenance.service.js';
import type { ApiClient } from '../support/api-client.js';
import { askToHold, heldId, keyWithBudget, step, storedAccount } from '../support/budgets.js';
import { createTestDatabase, type TestDatabase } from '../support/database.js';
import { DatabaseClock } from '../support/database-clock.js';
import { logIn, TestApp, type TestApiKey, type TestUser, USER_PASSWORD } from '../support/test-app.js';
import { usageEvent } from '../support/usage-events.js';

const HOUR_SECONDS = 3_600;
const FAR_SECONDS = 400 * 24 * HOUR_SECONDS;
const WEEK_SECONDS = 7 * 24 * HOUR_SECONDS;

/** How far the clocks of the database and of the service jump, in seconds. */
const JUMPS = [
  { database: FAR_SECONDS, service: FAR_SECONDS },
  { database: -FAR_SECONDS, service: -FAR_SECONDS },
  { database: HOUR_SECONDS - 5, service: HOUR_SECONDS - 5 },
  { database: -HOUR_SECONDS, service: -HOUR_SECONDS },
];

describe('R10: a jump of the clock changes nothing that lasts', () => {
  let database: TestDatabase;
  let databaseClock: DatabaseClock;
  let app: TestApp;
  let serviceUser: TestUser;
  let service: ApiClient;
  beforeAll(async () => {
    database = await createTestDatabase();
    databaseClock = await DatabaseClock.over(database);
    app = await TestApp.start({ database });
    serviceUser = await app.user({ role: 'service' });
    service = serviceUser.client;
  });
  afterAll(async () => {
    await app.stop();
    await database.drop();
  });

  const jump = async ({ database: ofDatabase, service: ofService }: (typeof JUMPS)[number]) => {
    await databaseClock.set(`${ofDatabase} seconds`);
    app.clock.advanceSeconds(ofService);
  };
  const runEveryJob = async (of: TestApp) => {
    const maintenance = of.app.get(Maintenance);
    for (const { name } of maintenance.jobs) await maintenance.runNow(name);
  };
  /** Rows by table, with those of each partition. */
  const rowCounts = async (): Promise<Record<string, number>> => {
    const tables = await database.query<{ name: string; count: string }>(
      `SELECT relname AS name,
         (xpath('/row/count/text()', query_to_xml(format('SELECT count(*) FROM public.%I', relname), false, true, '')))[1]::text AS count
       FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p')`,
    );
    return Object.fromEntries(tables.map(({ name, count }) => [name, Number(count)]));
  };
  const spend = async (key: TestApiKey, cents: number) => {
    const event = usageEvent(key.id, { cost_cents: String(cents) });
    expect((await service.post('/usage', event)).body).toMatchObject({ accepted: 1 });
    return event;
  };
  const spentCents = async (key: TestApiKey) => {
    const { body } = await service.post('/api-keys/verify', { key: key.secret });
    return Number(body['budget'].spent_cents_decimal);
  };
  const monthlyKey = (limitCents: number) => keyWithBudget(app, limitCents, { budget_type: 'monthly' });

  it.each(JUMPS)(
    'of $database s in the database and $service s in the service, with every job run and a restart inside',
    async (distance) => {
      const key = await monthlyKey(1_000);
      const event = await spend(key, 900);
      const hold = await heldId(service, key, 50, { ttl_seconds: 2 * HOUR_SECONDS });
      const settled = await heldId(service, key, 10);
      await step(service, settled, 'settle', { cost_cents: '0' });
      const rotated = await app.apiKey();
      await app.admin.post(`/api-keys/${rotated.id}/regenerate`, { grace_period_seconds: WEEK_SECONDS });
      const expiring = await app.apiKey(app.admin, {
        expires_at: new Date(app.clock.now().getTime() + 2 * HOUR_SECONDS * 1_000).toISOString(),
      });
      const { client: user } = await app.user();
      const creation = { name: 'Once' };
      const claim = { 'idempotency-key': `over-a-jump-${distance.database}-${distance.service}` };
      expect((await app.admin.post('/api-keys', creation, claim)).status).toBe(201);
      await runEveryJob(app);
      const before = await rowCounts();

      await jump(distance);
      await app.app.get(ClockGuard).observe();
      await runEveryJob(app);
      const restarted = await TestApp.start({ database });
      await runEveryJob(restarted);
      await jump({ database: 0, service: -distance.service });

      for (const instance of [app, restarted]) await instance.app.get(ClockGuard).observe();
      const after = await rowCounts();
      for (const [table, count] of Object.entries(before)) {
        if (TRANSIENT.has(table)) continue;
        expect({ table, count: after[table] ?? 0 }).toEqual({
          table,
          count: Math.max(count, after[table] ?? 0),
        });
      }
      for (const secret of [rotated.secret, expiring.secret]) {
        expect((await service.post('/api-keys/verify', { key: secret })).body).toMatchObject({ valid: true });
      }
      expect((await user.get('/auth/me')).status).toBe(200);
      expect((await service.post('/usage', event)).body).toMatchObject({ accepted: 0, duplicates: 1 });
      expect((await app.admin.post('/api-keys', creation, claim)).body).toMatchObject({ secret_key: null });
      const { body } = await service
        .get(`/budget-holds/${hold}`)
        .then((answer) =>
          answer.status === 200 ? answer : step(service, hold, 'extend', { ttl_seconds: 60 }),
        );
      expect(body).toMatchObject({ status: 'held', budget: { spent_cents_decimal: '900.000000' } });
      expect((await askToHold(service, key, 100)).status).toBe(402);
      await app.stop();
      app = restarted;
      service = await logIn(app.anonymous, serviceUser.username, USER_PASSWORD);
    },
  );

  it('of 400 days: the month comes back with what was spent and held, also by those who settled meanwhile', async () => {
    const key = await monthlyKey(1_000);
    await spend(key, 900);
    const [settledMeanwhile, releasedMeanwhile] = [
      await heldId(service, key, 40),
      await heldId(service, key, 30),
    ];
    await jump({ database: FAR_SECONDS, service: 0 });
    await spend(key, 1);
    expect((await step(service, settledMeanwhile, 'settle', { cost_cents: '35' })).body['status']).not.toBe(
      'held',
    );
    await step(service, releasedMeanwhile, 'release');
    await jump({ database: 0, service: 0 });
    const refusal = await askToHold(service, key, 100);
    expect(refusal.status).toBe(402);
    expect(refusal.body).toMatchObject({ reason: 'budget_exhausted' });
    expect(await storedAccount(database, key.id)).toMatchObject({ spent: 935_000_000n });
    expect(await spentCents(key)).toBe(935);
  });

  it('of 400 days back: what was spent in the month to which it returns is there before anything is charged', async () => {
    const key = await monthlyKey(1_000);
    await spend(key, 1_000);
    await jump({ database: -FAR_SECONDS, service: 0 });
    await spend(key, 3);
    await jump({ database: 0, service: 0 });
    const [read] = await database.query<{ spent: string }>(
      `SELECT budget_states(ARRAY[$1::bigint]) -> $1::text -> 0 ->> 6 AS spent`,
      [key.id],
    );
    expect(read?.spent).toBe('1000000000');
    expect((await askToHold(service, key, 1)).status).toBe(402);
    expect((await service.post('/api-keys/verify', { key: key.secret })).body).toMatchObject({
      code: 'BUDGET_EXCEEDED',
    });
    expect(await storedAccount(database, key.id)).toMatchObject({ spent: 1_000_000_000n });
  });

  it('of 400 days: a hold or a throttle of logins that began meanwhile does not last until then', async () => {
    const key = await keyWithBudget(app, 100);
    await jump({ database: FAR_SECONDS, service: 0 });
    const hold = await heldId(service, key, 60, { ttl_seconds: 60 });
    for (let attempt = 0; attempt < 30; attempt += 1) {
      await app.anonymous.post('/auth/login', { username: 'nobody', password: 'a wrong passphrase' });
    }
    await jump({ database: 0, service: 0 });
    await app.app.get(Maintenance).runNow('expire-holds');
    const [row] = await database.query<{ is_soon: boolean }>(
      `SELECT expires_at < now() + interval '25 hours' AS is_soon FROM budget_holds WHERE id = $1`,
      [hold],
    );
    expect(row?.is_soon).toBe(true);
    app.clock.advanceSeconds(2);
    const attempt = await app.anonymous.post('/auth/login', { username: 'nobody', password: 'wrong again!' });
    expect(attempt.status).toBe(401);
  });
});

/**
 * What is of use for moments only. Changes are folded into counts, instances come back with their next beat, and who has
 * not read the feed for ten minutes knows by its horizon that rows are gone.
 */
const TRANSIENT = new Set([
  'api_key_count_changes',
  'change_feed',
  'instances',
  'login_failures',
  'rate_windows',
]);
