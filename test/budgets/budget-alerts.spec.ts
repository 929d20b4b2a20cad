import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { BudgetAlerts } from '../../src/budgets/budget-alerts.service.js';
import { Maintenance } from '../../src/jobs/maintenance.service.js';
import { chainAccounts, endMonthOf, heldId, keyWithBudget, step, storedAccount } from '../support/budgets.js';
import { TestApp, type TestApiKey } from '../support/test-app.js';

const EXHAUSTED_LAST = 101;

interface Notice {
  readonly action: string;
  readonly percent?: number;
}

describe('thresholds of budgets', { timeout: 60_000 }, () => {
  let app: TestApp;
  let others: TestApp[];
  beforeAll(async () => {
    app = await TestApp.start();
    others = [
      await TestApp.start({ database: app.database }),
      await TestApp.start({ database: app.database }),
    ];
  });
  afterAll(async () => {
    for (const other of others) await other.stop();
    await app.stop();
  });

  let made = 0;
  const spend = async (key: TestApiKey, cents: number | string, through: TestApp = app) => {
    made += 1;
    const report = {
      api_key_id: key.id,
      request_id: `r${made}`,
      endpoint: '/',
      method: 'GET',
      cost_cents: cents,
    };
    const answer = await through.admin.post('/usage', { ...report, request_tokens: 0, response_tokens: 0 });
    expect(answer.body).toMatchObject({ accepted: 1 });
  };

  async function rowsOf(resourceId: number, resourceType = 'api_key') {
    return app.database.query<Record<string, unknown> & { action: string; details: Record<string, unknown> }>(
      `SELECT action, details, user_id, api_key_id, ip_address, request_id, success FROM audit_logs
       WHERE resource_type = $2 AND resource_id = $1 AND action LIKE 'budget%' ORDER BY id`,
      [String(resourceId), resourceType],
    );
  }

  async function noticesOf(key: TestApiKey): Promise<Notice[]> {
    const notices: Notice[] = (await rowsOf(key.id)).map(({ action, details }) =>
      'percent' in details ? { action, percent: Number(details['percent']) } : { action },
    );
    // Those of one moment have no order among them.
    return notices.toSorted((a, b) => (a.percent ?? EXHAUSTED_LAST) - (b.percent ?? EXHAUSTED_LAST));
  }

  const reached = (percent: number): Notice => ({ action: 'budget_threshold_reached', percent });
  const EXHAUSTED: Notice = { action: 'budget_exhausted' };

  /** Resolves when the key has these notices and no others. */
  async function expectNotices(key: TestApiKey, ...expected: Notice[]): Promise<void> {
    await vi.waitFor(async () => expect(await noticesOf(key)).toEqual(expected), {
      timeout: 5_000,
      interval: 20,
    });
    await app.app.get(BudgetAlerts).publishAll();
    expect(await noticesOf(key)).toEqual(expected);
  }

  it('are told when they are reached, each once, with what the budget stood at', async () => {
    const key = await keyWithBudget(app, 100);
    await spend(key, '49.999999');
    await expectNotices(key);
    await spend(key, '0.000001');
    await expectNotices(key, reached(50));
    await spend(key, 10);
    await spend(key, 25);
    await expectNotices(key, reached(50), reached(80));
    await spend(key, 15);
    await expectNotices(key, reached(50), reached(80), reached(100), EXHAUSTED);
    await spend(key, 100);
    await expectNotices(key, reached(50), reached(80), reached(100), EXHAUSTED);
    const rows = await rowsOf(key.id);
    const [first, last] = [rows[0], rows.find(({ action }) => action === EXHAUSTED.action)];
    const system = { user_id: null, api_key_id: null, ip_address: null, request_id: null, success: true };
    expect(first).toMatchObject({
      ...system,
      details: { percent: 50, spent_cents_decimal: '50.000000', limit_cents: 100, period_start: null },
    });
    expect(last).toMatchObject({
      ...system,
      details: { spent_cents_decimal: '100.000000', limit_cents: 100 },
    });
  });

  it('are told together when one charge reaches them together', async () => {
    const key = await keyWithBudget(app, 10);
    await step(app.admin, await heldId(app.admin, key, 5), 'settle', { cost_cents: 12 });
    await expectNotices(key, reached(50), reached(80), reached(100), EXHAUSTED);
  });

  it('are reached by a limit that is lowered, and not again by one that is raised', async () => {
    const key = await keyWithBudget(app, 100);
    await spend(key, 40);
    await app.admin.put(`/api-keys/${key.id}`, { budget_limit_cents: 45 });
    await app.app.get(BudgetAlerts).publishAll();
    await expectNotices(key, reached(50), reached(80));
    await app.admin.put(`/api-keys/${key.id}`, { budget_limit_cents: 60 });
    await spend(key, 10);
    await expectNotices(key, reached(50), reached(80));
  });

  it('are not reached by what is only held, nor under a limit of 0 by nothing', async () => {
    const [key, none] = [await keyWithBudget(app, 10), await keyWithBudget(app, 0)];
    await heldId(app.admin, key, 10);
    await spend(none, 0);
    await expectNotices(key);
    await expectNotices(none);
    await spend(none, '0.000001');
    await expectNotices(none, reached(50), reached(80), reached(100), EXHAUSTED);
  });

  it('are told anew in each month, and not anew after another period type', async () => {
    const key = await keyWithBudget(app, 10, { budget_type: 'monthly' });
    await spend(key, 5);
    await expectNotices(key, reached(50));
    await endMonthOf(app.database, key.id);
    await spend(key, 5);
    await expectNotices(key, reached(50), reached(50));
    await app.admin.put(`/api-keys/${key.id}`, { budget_type: 'total' });
    await spend(key, 1);
    await expectNotices(key, reached(50), reached(50));
  });

  it('are told of an account above those of keys by itself', async () => {
    const [key, top] = [await keyWithBudget(app, 100), await keyWithBudget(app, 10)];
    await chainAccounts(app.database, key.id, top.id);
    const { id } = await storedAccount(app.database, top.id);
    await app.database.query('UPDATE budget_accounts SET api_key_id = NULL WHERE id = $1', [id]);
    await spend(key, 6);
    await expectNotices(key);
    const percents = async () =>
      (await rowsOf(id, 'budget_account')).map(({ details }) => details['percent']);
    await vi.waitFor(async () => expect(await percents()).toEqual([50]), { timeout: 5_000, interval: 20 });
  });

  it('are told once each, however many instances spend and tell', async () => {
    const instances = [app, ...others];
    const keys = await Promise.all(Array.from({ length: 30 }, () => keyWithBudget(app, 10)));
    const telling = { isOver: false };
    const tellers = instances.map(async ({ app: instance }) => {
      while (!telling.isOver) await instance.get(BudgetAlerts).publishAll();
    });
    await Promise.all(
      keys.flatMap((key) => Array.from({ length: 10 }, (_, index) => spend(key, 1, instances[index % 3]))),
    );
    telling.isOver = true;
    await Promise.all(tellers);
    for (const key of keys) await expectNotices(key, reached(50), reached(80), reached(100), EXHAUSTED);
  });

  it('are told later when they could not be told at once', async () => {
    const key = await keyWithBudget(app, 10);
    await app.database.query(`
      CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'no audit'; END $$;
      CREATE TRIGGER refuse BEFORE INSERT ON audit_logs FOR EACH ROW WHEN (NEW.action LIKE 'budget%') EXECUTE FUNCTION refuse()`);
    await spend(key, 5);
    // The instance that publishes it at this moment fails; the others skip it.
    await app.app
      .get(BudgetAlerts)
      .publishAll()
      .catch(() => undefined);
    const { id } = await storedAccount(app.database, key.id);
    const unpublished = async () =>
      app.database.query(
        'SELECT percent FROM budget_notices WHERE account_id = $1 AND published_at IS NULL',
        [id],
      );
    expect(await unpublished()).toEqual([{ percent: 50 }]);
    expect(await noticesOf(key)).toEqual([]);
    await app.database.query('DROP TRIGGER refuse ON audit_logs; DROP FUNCTION refuse()');
    await app.app.get(Maintenance).runNow('publish-budget-alerts');
    await expectNotices(key, reached(50));
    expect(await unpublished()).toEqual([]);
  });
});
