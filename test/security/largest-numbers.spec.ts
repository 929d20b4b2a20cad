import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Maintenance } from '../../src/jobs/maintenance.service.js';
import { heldId, keyWithBudget, step } from '../support/budgets.js';
import type { ApiRequest } from '../support/api-client.js';
import { LockedTables } from '../support/locked-tables.js';
import { invitation, serviceAccount } from '../support/organizations.js';
import { ADMIN, type TestApiKey, TestApp, type TestUser, USER_PASSWORD } from '../support/test-app.js';
import { usageEvent } from '../support/usage-events.js';
import { type DeclaredRoute, declaredRoutes, isOfPlace, validBody } from './routes.js';
import { openSession } from './tokens.js';

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
  /^usage_request(s|_ids|_generations)\.(reporter|content_digest|generation|number)$/,
  /^usage_events\.status_code$/,
  /^budget_notices\.percent$/,
  /(period_number|revision)$/,
  // How many rows there are: no table comes near 2^53 of them.
  /^api_key_count(s|_changes)\.keys$/,
];

/** The status of what is asked below, where it is not that of the method: 201 for what is created, else 200. */
const STATUSES: Readonly<Record<string, number>> = {
  create_api_key: 201,
  create_user: 201,
  create_organization: 201,
  create_project: 201,
  add_organization_member: 201,
  add_project_member: 201,
  create_organization_invitation: 201,
  create_project_invitation: 201,
  create_service_account: 201,
  // What is held is given back in full, so it cannot end at the most: what would pass it is refused, without a limit too.
  create_budget_hold: 402,
  // So many logins have failed.
  login: 429,
  // Pages for people.
  list_error_pages: 406,
  get_error_page: 406,
};

/** How reading routes are asked: as JSON, and as each other form for the routes that have it. */
const READ_AS = [
  'application/json',
  'text/csv, application/json;q=0.5',
  'application/x-ndjson, application/json;q=0.5',
];

/** The other routes are asked with this session. */
const ENDS_SESSION: ReadonlySet<string> = new Set(['logout']);

interface NumberColumn extends Record<string, unknown> {
  readonly table: string;
  readonly column: string;
  readonly type: string;
}

/** A hold or an event of a key. */
interface KeyRow extends Record<string, unknown> {
  readonly api_key_id: number;
  readonly id: number | string;
  readonly request_id: string;
}

/** Where the change of an organization, a project or a member is made. */
interface Place {
  readonly organizationId: number;
  readonly projectId: number;
  readonly memberId: number;
  /** What is there for actions on it alone. */
  readonly invitationId?: number;
  readonly serviceAccountId?: number;
}

describe('the largest numbers that the database holds', { timeout: 120_000 }, () => {
  let app: TestApp;
  /** By name of what is done with them. */
  const keys = new Map<string, TestApiKey>();
  const users = new Map<string, TestUser>();
  /** Organizations with a project and a member, by name of the change that is made there. */
  const places = new Map<string, Place>();
  /** A key without limits. */
  let free: TestApiKey;
  /** The hold that is open, and an event, by key. */
  let holds: Map<number, KeyRow>;
  let events: Map<number, KeyRow>;
  let secretId: string;
  let newcomer: TestUser;
  /** Of an invitation of the admin. */
  let invitationToken: string;
  let refreshToken: string;
  let columns: NumberColumn[];
  let routes: DeclaredRoute[];
  beforeAll(async () => {
    app = await TestApp.start();
    // The guide is a site of files that a build makes, and holds no numbers.
    routes = declaredRoutes(app.app).filter(
      ({ action, url }) => !ENDS_SESSION.has(action ?? '') && !url.startsWith('/guide'),
    );
    // Each change has a key, a user, a hold and an event of its own: what it does may stand in the way of the next.
    const changes = routes.filter(({ method, url }) => method !== 'GET' && url.includes(':id'));
    const names = [
      'own',
      'deactivated',
      'deleted',
      'regenerated',
      ...changes.map(({ action }) => String(action)),
    ];
    for (const name of new Set(names)) keys.set(name, await givenKey());
    for (const { url, action } of changes.filter((route) => route.url.includes('/users/')))
      users.set(action ?? url, await app.user());
    for (const { action } of changes.filter(({ url }) => isOfPlace(url)))
      places.set(String(action), await givenPlace(String(action)));
    places.set('get_service_account', await givenPlace('get_service_account'));
    const { projectId } = places.get('get_service_account')!;
    invitationToken = await invitation(app.admin, `/projects/${projectId}`, ADMIN.username, 'project_admin');
    newcomer = await app.user();
    users.set('leaving', await app.user({ permissions: ['platform:*'] }));
    for (const name of ['revoked', 'ended']) keys.set(name, await app.apiKey(users.get('leaving')!.client));
    free = await app.apiKey();
    await app.admin.post('/usage', usageEvent(free.id));
    const { id } = keys.get('delete_api_key_secret')!;
    const grace = await app.admin.post(`/api-keys/${id}/regenerate`, { grace_period_seconds: 3_600 });
    secretId = grace.body['api_key'].secrets[1].id as string;
    ({ refreshToken } = await openSession(app, [...users.values()][0]!.username));
    await app.anonymous.post('/auth/login', { username: 'nobody', password: 'a long wrong passphrase' });
    columns = await numberColumns();
    await toTheLargest();
    holds = await rowsByKey(`SELECT id, api_key_id::int FROM budget_holds WHERE status = 'held'`);
    events = await rowsByKey('SELECT id::int, api_key_id::int, request_id FROM usage_events ORDER BY id');
  });
  afterAll(() => app.stop());

  /** An organization, to be deleted one without a project, in which a user is a member. */
  async function givenPlace(action: string): Promise<Place> {
    const named = { slug: action.replaceAll('_', '-'), name: action };
    const organizationId = (await app.admin.post('/organizations', named)).body['id'] as number;
    const member = await app.user();
    await app.admin.post(`/organizations/${organizationId}/members`, {
      user_id: member.id,
      role: 'org_member',
    });
    if (action === 'delete_organization') return { organizationId, projectId: 1, memberId: member.id };
    const project = await app.admin.post(`/organizations/${organizationId}/projects`, named);
    const projectId = project.body['id'] as number;
    if (action !== 'add_project_member')
      await app.admin.post(`/projects/${projectId}/members`, { user_id: member.id, role: 'project_viewer' });
    const place = { organizationId, projectId, memberId: member.id };
    if (action.endsWith('_service_account'))
      return { ...place, serviceAccountId: await serviceAccount(app.admin, projectId) };
    if (!action.startsWith('revoke_')) return place;
    const path = action.includes('project') ? `/projects/${projectId}` : `/organizations/${organizationId}`;
    const sent = await app.admin.post(
      `${path}/invitations`,
      validBody('POST', action.replace('revoke', 'create')),
    );
    return { ...place, invitationId: sent.body['invitation'].id as number };
  }

  /** A key that was used, has a budget of which all was spent, and one hold that is open. */
  async function givenKey(): Promise<TestApiKey> {
    const key = await keyWithBudget(app, 100, { rate_limit_per_minute: 10, budget_type: 'monthly' });
    const settled = await heldId(app.admin, key, 10);
    await step(app.admin, settled, 'settle', { cost_cents: 10, request_tokens: 1, response_time_ms: 1 });
    await app.admin.post('/usage', usageEvent(key.id, { cost_cents: 50 }));
    await heldId(app.admin, key, 10, { ttl_seconds: 3_600 });
    return key;
  }

  async function rowsByKey(text: string): Promise<Map<number, KeyRow>> {
    const rows = await app.database.query<KeyRow>(text);
    return new Map(rows.map((row) => [row.api_key_id, row]));
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

  function pathOf({ url, action }: DeclaredRoute): string {
    const key = keys.get(action ?? '') ?? keys.get('own')!;
    const id = url.includes('/budget-holds/')
      ? holds.get(key.id)!.id
      : url.includes('/usage/:id')
        ? events.get(key.id)!.id
        : url.includes('/users/')
          ? (users.get(action ?? '')?.id ?? 1)
          : isOfPlace(url)
            ? (places.get(action ?? '')?.[url.includes('/projects/') ? 'projectId' : 'organizationId'] ?? 1)
            : key.id;
    const path = url
      .replace(':id', String(id))
      .replace(':secret_id', secretId)
      .replace(':user_id', String(places.get(action ?? '')?.memberId))
      .replace(':invitation_id', String(places.get(action ?? '')?.invitationId))
      .replace(':service_account_id', String(places.get(action ?? '')?.serviceAccountId))
      .replace(':code', 'api_key.not_found');
    return action === 'get_usage_events'
      ? `/${path}?request_id=${events.get(key.id)!.request_id}`
      : `/${path}`;
  }

  /** What is sent to routes that ask for something that is there. */
  function requestOf({ method, action = '', isForm }: DeclaredRoute): ApiRequest {
    const own = keys.get('own')!;
    const bodies: Record<string, unknown> = {
      verify_api_key: { key: own.secret, cost: 0 },
      verify_api_keys: { requests: [{ key: own.secret, cost: 0 }, { key: free.secret }] },
      report_usage: usageEvent(own.id),
      create_budget_hold: { api_key_id: free.id, amount_cents: 1, ttl_seconds: 60 },
      add_organization_member: { user_id: newcomer.id, role: 'org_admin' },
      add_project_member: { user_id: newcomer.id, role: 'project_admin' },
      transfer_api_key: { user_id: newcomer.id },
      accept_invitation: { token: invitationToken },
      refresh_session: { refresh_token: refreshToken },
      login: { username: [...users.values()][0]!.username, password: USER_PASSWORD },
    };
    if (isForm)
      return {
        rawBody: `token=${own.secret}`,
        headers: { 'content-type': 'application/x-www-form-urlencoded' },
      };
    return { body: bodies[action] ?? validBody(method, action) };
  }

  it('are those of every counter and every amount there is', () => {
    const named = columns.map(({ table, column }) => `${table}.${column}`);
    for (const known of [
      'api_keys.version',
      'api_key_totals.tokens',
      'budget_accounts.spent_micro_cents',
      'budget_accounts.held_micro_cents',
      'budget_holds.amount_micro_cents',
      'usage_events.cost_micro_cents',
      'usage_hourly_rollups.request_tokens',
    ])
      expect(named).toContain(known);
  });

  it('are answered by every route, as JSON, CSV and NDJSON, and never without the exact digits', async () => {
    const failures: string[] = [];
    for (const route of routes) {
      const { method, url, action = '' } = route;
      const client = action === 'forward_auth' ? app.anonymous.withApiKey(free.secret) : app.admin;
      const expected = STATUSES[action] ?? 200;
      for (const accept of method === 'GET' ? READ_AS : ['application/json']) {
        const request = requestOf(route);
        const headers = { ...request.headers, accept };
        const answer = await client.send(method, pathOf(route), { ...request, headers });
        const wrong = answer.status === expected ? inexactNumbers(answer.body) : [answer.text];
        if (wrong.length > 0)
          failures.push(`${method} ${url} (${accept}): ${answer.status} ${wrong.join(' ')}`);
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

  it('are not read where a key or a user loses what it may do', async () => {
    const [user, key, ended] = [users.get('leaving')!, keys.get('revoked')!, keys.get('ended')!];
    const grace = await app.admin.post(`/api-keys/${key.id}/regenerate`, { grace_period_seconds: 3_600 });
    const retiring = String(grace.body['api_key'].secrets[1].id);
    const totals = await LockedTables.lock(app.database, []);
    await totals.query('LOCK TABLE api_key_totals IN ACCESS EXCLUSIVE MODE');
    const answers = [
      await app.admin.delete(`/api-keys/${key.id}/secrets/${retiring}`),
      await app.admin.post(`/api-keys/${key.id}/deactivate`),
      await app.admin.post(`/api-keys/${key.id}/activate`),
      await app.admin.delete(`/api-keys/${ended.id}`),
      // With the key that is left.
      await app.admin.put(`/users/${user.id}`, { is_active: false }),
      await app.admin.delete(`/users/${user.id}`),
    ];
    await totals.release();
    expect(answers.map(({ status }) => status)).toEqual(answers.map(() => 200));
  });

  it('do not keep usage from being recorded, nor holds from being ended', async () => {
    const key = keys.get('own')!;
    const event = usageEvent(key.id, { cost_cents: '1000000000000', request_tokens: 1_000_000_000 });
    expect((await app.admin.post('/usage', [event, { ...event, request_id: 'other' }])).body).toMatchObject({
      accepted: 2,
    });
    expect(
      (await step(app.admin, String(holds.get(key.id)!.id), 'settle', { cost_cents: 3 })).body,
    ).toMatchObject({
      status: 'settled',
      budget: { spent_cents_decimal: MOST_CENTS },
    });
    expect((await app.admin.get(`/api-keys/${key.id}`)).body).toMatchObject({
      total_requests_decimal: MOST_BIGINT,
    });
  });

  it('do not keep the jobs from running', async () => {
    const maintenance = app.app.get(Maintenance);
    for (const job of ['fold-api-key-counts', 'publish-budget-alerts', 'expire-holds'])
      await maintenance.runNow(job);
    expect((await app.admin.get('/api-keys?size=1')).status).toBe(200);
  });
});

/** Where a document shows a number that clients cannot read exactly, and no exact text beside it. */
function inexactNumbers(value: unknown, path = ''): string[] {
  if (typeof value !== 'object' || value === null) return [];
  return Object.entries(value).flatMap(([name, member]) => {
    const here = `${path}.${name}`;
    if (typeof member !== 'number') return inexactNumbers(member, here);
    const exact = (value as Record<string, unknown>)[`${name}_decimal`];
    const isExact = Math.abs(member) < MOST_SAFE || (member === MOST_SAFE && typeof exact === 'string');
    return isExact ? [] : [`${here}: ${member}`];
  });
}
