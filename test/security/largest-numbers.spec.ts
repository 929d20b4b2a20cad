import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Maintenance } from '../../src/database/maintenance.js';
import { heldId, keyWithBudget, step } from '../support/budgets.js';
import { type TestApiKey, TestApp } from '../support/test-app.js';
import { usageEvent } from '../support/usage-events.js';
import { type ProtectedRoute, protectedRoutes, vacantPath, validBody } from './routes.js';

const MOST_SAFE = 9_007_199_254_740_991;
const MOST_BIGINT = '9223372036854775807';
const TWICE_BIGINT = '18446744073709551614';
/** As millionths of a cent. */
const MOST_CENTS = '9223372036854.775807';

/** The most that a type of column holds. */
const MOST: Readonly<Record<string, string>> = {
  bigint: MOST_BIGINT,
  integer: '2147483647',
  smallint: '32767',
  numeric: '9'.repeat(40),
};

/** The most where a constraint allows less. */
const MOST_ALLOWED: Readonly<Record<string, string>> = {
  'api_keys.budget_limit_cents': '1000000000000',
  'api_keys.rate_limit_per_minute': '10000',
  'api_keys.rate_limit_per_hour': '100000',
  'api_keys.rate_limit_per_day': '1000000',
};

/** Numbers that count nothing: they name things, or say which of several states or kinds there is. */
const NO_COUNTERS = [
  /[._]id$/,
  // Places in an order.
  /^(audit_\w+|change_feed|change_feed_horizon|schema_\w+)\./,
  /\.below$/,
  /^api_key_secrets\.pepper_version$/,
  /^usage_request_ids\.(reporter|content_digest)$/,
  /^usage_events\.status_code$/,
  /^budget_notices\.percent$/,
  /(period_number|revision)$/,
];

interface NumberColumn extends Record<string, unknown> {
  readonly table: string;
  readonly column: string;
  readonly type: string;
}

describe('the largest numbers that the database holds', { timeout: 120_000 }, () => {
  let app: TestApp;
  /** By name of what is done with them. */
  const keys = new Map<string, TestApiKey>();
  let holdIds: string[];
  let eventIds: number[];
  let columns: NumberColumn[];
  let routes: ProtectedRoute[];
  beforeAll(async () => {
    app = await TestApp.start();
    routes = protectedRoutes(app.app).filter(({ action }) => !ENDS_SESSION.has(action));
    // Each change has a key, a hold and an event of its own: what it does may stand in the way of the next.
    const changes = routes.filter(({ method, url }) => method !== 'GET' && url.includes(':id'));
    const names = ['own', 'deactivated', 'deleted', 'regenerated', ...changes.map(({ action }) => action)];
    for (const name of new Set(names)) keys.set(name, await givenKey());
    await app.anonymous.post('/auth/login', { username: 'nobody', password: 'a long wrong passphrase' });
    columns = await numberColumns();
    await toTheLargest();
    holdIds = await idsOf<string>('SELECT id FROM budget_holds WHERE status = $1 ORDER BY id', ['held']);
    eventIds = await idsOf<number>('SELECT id::int FROM usage_events ORDER BY id', []);
  });
  afterAll(() => app.stop());

  /** A key that was used, has a budget of which all was spent, and one hold that is open. */
  async function givenKey(): Promise<TestApiKey> {
    const key = await keyWithBudget(app, 100, { rate_limit_per_minute: 10, budget_type: 'monthly' });
    const settled = await heldId(app.admin, key, 10);
    await step(app.admin, settled, 'settle', { cost_cents: 10, request_tokens: 1, response_time_ms: 1 });
    await app.admin.post('/usage', usageEvent(key.id, { cost_cents: 50 }));
    await heldId(app.admin, key, 10);
    return key;
  }

  async function idsOf<Id>(text: string, values: unknown[]): Promise<Id[]> {
    const rows = await app.database.query<{ id: Id }>(text, values);
    return rows.map(({ id }) => id);
  }

  async function numberColumns(): Promise<NumberColumn[]> {
    const found = await app.database.query<NumberColumn>(
      `SELECT columns.table_name AS table, columns.column_name AS column, columns.data_type AS type
       FROM information_schema.columns JOIN pg_class ON pg_class.oid = to_regclass(quote_ident(table_name))
       WHERE table_schema = 'public' AND NOT relispartition AND relkind IN ('r', 'p') AND data_type = ANY($1)
       ORDER BY 1, 2`,
      [Object.keys(MOST)],
    );
    return found.filter(({ table, column }) => !NO_COUNTERS.some((rule) => rule.test(`${table}.${column}`)));
  }

  async function toTheLargest(): Promise<void> {
    for (const { table, column, type } of columns) {
      const most = MOST_ALLOWED[`${table}.${column}`] ?? MOST[type] ?? '0';
      await app.database.query(`UPDATE ${table} SET ${column} = ${most} WHERE ${column} IS NOT NULL`);
    }
  }

  function pathOf({ url, action }: ProtectedRoute, place: number): string {
    const key = keys.get(action) ?? keys.get('own')!;
    const id = url.includes('/budget-holds/')
      ? holdIds[place % holdIds.length]
      : url.includes('/usage/:id')
        ? eventIds[place % eventIds.length]
        : url.includes('/users/')
          ? 999_999
          : key.id;
    const path = vacantPath(url.replace(':id', String(id))).replaceAll(/:\w+/g, '999999');
    return action === 'get_usage_events' ? `${path}?request_id=unknown` : path;
  }

  it('are those of every counter and every amount there is', () => {
    const named = columns.map(({ table, column }) => `${table}.${column}`);
    for (const known of [
      'api_keys.version',
      'api_key_totals.tokens',
      'api_key_counts.keys',
      'budget_accounts.spent_micro_cents',
      'budget_accounts.held_micro_cents',
      'budget_holds.amount_micro_cents',
      'usage_events.cost_micro_cents',
      'usage_hourly_rollups.request_tokens',
    ])
      expect(named).toContain(known);
  });

  it('are answered by every route, as JSON and as CSV', async () => {
    const failures: string[] = [];
    for (const [place, route] of routes.entries()) {
      const { method, action } = route;
      for (const accept of method === 'GET' ? ['application/json', 'text/csv'] : ['application/json']) {
        const answer = await app.admin.send(method, pathOf(route, place), {
          body: validBody(method, action),
          headers: { accept },
        });
        if (answer.status >= 500) failures.push(`${method} ${route.url} (${accept}): ${answer.text}`);
      }
    }
    expect(failures).toEqual([]);
  });

  it('are shown as 2^53 − 1, and exactly beside it', async () => {
    const key = keys.get('own')!;
    const counts = (name: string) => ({ [name]: MOST_SAFE, [`${name}_decimal`]: MOST_BIGINT });
    const ofKey = {
      ...counts('total_requests'),
      ...counts('total_tokens'),
      total_cost_cents: 9_223_372_036_855,
      total_cost_cents_decimal: MOST_CENTS,
    };
    expect((await app.admin.get(`/api-keys/${key.id}`)).body).toMatchObject(ofKey);
    const { body: usage } = await app.admin.get(`/api-keys/${key.id}/usage`);
    // Of two models.
    expect(usage).toMatchObject({
      ...ofKey,
      requests_today: MOST_SAFE,
      requests_today_decimal: TWICE_BIGINT,
    });
    expect(usage['tokens_today']).toBe(MOST_SAFE);
    const { body: summary } = await app.admin.get('/usage/summary');
    expect(summary['total']).toMatchObject({
      requests: MOST_SAFE,
      tokens: MOST_SAFE,
      requests_decimal: expect.stringMatching(/^\d{20,}$/),
      tokens_decimal: expect.stringMatching(/^\d{20,}$/),
      cost_cents_decimal: expect.stringMatching(/^\d{14,}\.\d{6}$/),
    });
    const csv = (
      await app.admin.get(`/api-keys/${key.id}/usage/series?interval=month`, { accept: 'text/csv' })
    ).text;
    expect(csv).toMatch(new RegExp(`,${MOST_SAFE},.*,${TWICE_BIGINT},`));
    const list = (await app.admin.get('/api-keys?size=1')).body;
    expect(list['total']).toBe(MOST_SAFE);
  });

  it('do not keep a key from being revoked, nor from being changed', async () => {
    const [deactivated, regenerated, deleted] = ['deactivated', 'regenerated', 'deleted'].map((name) =>
      keys.get(name)!,
    ) as [TestApiKey, TestApiKey, TestApiKey];
    const verdictOn = async (secret: string) =>
      (await app.admin.post('/api-keys/verify', { key: secret, cost: 0 })).body['code'] as string;
    expect((await app.admin.post(`/api-keys/${deactivated.id}/deactivate`)).status).toBe(200);
    expect(await verdictOn(deactivated.secret)).toBe('DISABLED');
    expect((await app.admin.post(`/api-keys/${deactivated.id}/activate`)).status).toBe(200);
    expect((await app.admin.put(`/api-keys/${deactivated.id}`, { name: 'Changed' })).status).toBe(200);
    expect((await app.admin.put(`/api-keys/${deactivated.id}`, { budget_limit_cents: 5 })).status).toBe(200);
    const answer = await app.admin.post(`/api-keys/${regenerated.id}/regenerate`);
    expect(answer.status).toBe(200);
    expect(await verdictOn(regenerated.secret)).toBe('NOT_FOUND');
    expect(await verdictOn(String(answer.body['secret_key']))).toBe('BUDGET_EXCEEDED');
    expect((await app.admin.delete(`/api-keys/${deleted.id}`)).status).toBe(200);
    expect(await verdictOn(deleted.secret)).toBe('NOT_FOUND');
  });

  it('do not keep usage from being recorded, nor holds from being ended', async () => {
    const key = keys.get('own')!;
    const event = usageEvent(key.id, { cost_cents: '1000000000000', request_tokens: 1_000_000_000 });
    expect((await app.admin.post('/usage', [event, { ...event, request_id: 'other' }])).body).toMatchObject({
      accepted: 2,
    });
    const [held] = await idsOf<string>(
      `SELECT id FROM budget_holds WHERE api_key_id = $1 AND status = 'held'`,
      [key.id],
    );
    expect((await step(app.admin, held!, 'settle', { cost_cents: 3 })).body).toMatchObject({
      status: 'settled',
      budget: { spent_cents_decimal: MOST_CENTS },
    });
    expect((await app.admin.get(`/api-keys/${key.id}`)).body).toMatchObject({
      total_requests_decimal: MOST_BIGINT,
    });
  });

  it('do not keep the jobs from running', async () => {
    const maintenance = app.app.get(Maintenance);
    for (const job of ['fold-api-key-counts', 'publish-budget-notices', 'sweep-lapsed-holds'])
      await maintenance.runNow(job);
    expect((await app.admin.get('/api-keys?size=1')).body['total']).toBe(MOST_SAFE);
  });
});

/** The other routes are asked with this session. */
const ENDS_SESSION: ReadonlySet<string> = new Set(['logout']);
