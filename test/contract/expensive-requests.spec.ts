import pg from 'pg';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { ReportPool } from '../../src/database/pools.js';
import { EXPENSIVE_REQUESTS_AT_ONCE } from '../../src/contract/expensive-requests.service.js';
import { ownerOfKeys } from '../support/api-keys.js';
import type { ApiAnswer } from '../support/api-client.js';
import { expectProblem } from '../support/problems.js';
import { TestApp, type TestUser } from '../support/test-app.js';

describe('expensive requests of one user', () => {
  let app: TestApp;
  let reader: TestUser;
  let keyId: number;
  beforeAll(async () => {
    app = await TestApp.start();
    reader = await app.user({ permissions: ['platform:api-keys:read', 'platform:audit:read'] });
    keyId = (await app.apiKey()).id;
  });
  afterAll(() => app.stop());

  /** How many answers have each status. */
  const statusesOf = (answers: readonly ApiAnswer[]) => {
    const statuses = answers.map(({ status }) => status);
    return Object.fromEntries(
      [...new Set(statuses)].map((status) => [status, statuses.filter((one) => one === status).length]),
    );
  };

  /** Keeps statements from reading the table as long as `work` takes. */
  async function whileLocked<Result>(table: string, work: () => Promise<Result>): Promise<Result> {
    const client = new pg.Client({ connectionString: app.database.url });
    await client.connect();
    try {
      await client.query(`BEGIN; LOCK TABLE ${table} IN ACCESS EXCLUSIVE MODE`);
      return await work();
    } finally {
      await client.end();
    }
  }

  /** The route of each operation that says in the API document that it is bounded per caller, and the table it waits for. */
  const BOUNDED: Readonly<Record<string, [path: string, table: string]>> = {
    get_usage_summary: ['/usage/summary', 'usage_hourly_rollups'],
    get_api_key_usage_series: ['/api-keys/$KEY/usage/series', 'usage_hourly_rollups'],
    export_usage_summary: ['/usage/summary.csv', 'usage_hourly_rollups'],
    export_api_key_usage_series: ['/api-keys/$KEY/usage/series.csv', 'usage_hourly_rollups'],
    export_audit_logs: ['/audit-logs/export?action=none', 'audit_logs_other_months'],
    list_api_keys: ['/api-keys?search=nothing', 'api_key_search_texts'],
    list_audit_logs: ['/audit-logs?limit=5', 'audit_logs_other_months'],
  };

  /** Lists that count all their rows: a lock on their tables would hold up those who log in or are judged as well. */
  const COUNTED: Readonly<Record<string, string>> = {
    list_users: '/users',
    list_organizations: '/organizations',
    list_projects: '/projects',
    list_organization_projects: '/organizations/1/projects',
    list_organization_members: '/organizations/1/members',
    list_project_members: '/projects/1/members',
    list_organization_invitations: '/organizations/1/invitations',
    list_project_invitations: '/projects/1/invitations',
    list_service_accounts: '/projects/1/service-accounts',
  };

  /** Changes that read much where they are only tried. */
  const TRIED: Readonly<Record<string, string>> = {
    update_organization_policy: '/organizations/1/policy?dry_run=true',
    update_project_policy: '/projects/1/policy?dry_run=true',
  };

  /** Why every other route that reads is cheap. */
  const CHEAP: Readonly<Record<string, string>> = {
    get_organization: 'one row by its id',
    get_organization_budget: 'one account by its organization',
    get_project_budget: 'one account by its project',
    get_project: 'one row by its id',
    get_organization_policy: 'one row by its id',
    get_project_policy: 'one row by its id',
    get_service_account: 'one row by its id',
    get_me: 'the caller, who is known already',
    get_reference: 'what is put together once',
    get_user: 'one row by its id',
    get_api_key: 'one row by its id, its secrets and its line',
    get_api_key_usage: 'the rollups of one key and two days at most, by the first columns of their index',
    get_usage_events: 'one request id, of 100 reporters at most, by index',
    forward_auth: 'a verdict, bounded to a quarter of a second',
    get_liveness: 'reads nothing',
    get_readiness: 'what the process knows',
    get_metrics: 'what the process counted, and sizes that are read once a minute',
    list_error_pages: 'a file',
    get_error_page: 'a file',
  };

  it('are declared on every route that reads much: each route that reads is bounded, or cheap for a reason', async () => {
    const { body } = await app.anonymous.get('//openapi.json');
    const items = Object.values(body['paths'] as Record<string, Record<string, ApiAnswer['body']>>);
    const operations = items.flatMap((item) => Object.values(item));
    const reads = items.flatMap((item) => item['get'] ?? []);
    const bounded = operations.filter((operation) => operation['x-bounded-per-caller'] === true);
    const names = (of: ApiAnswer['body'][]) =>
      of.map((operation) => String(operation['operationId'])).toSorted();
    const boundedReads = [...Object.keys(BOUNDED), ...Object.keys(COUNTED)];
    expect(names(bounded)).toEqual([...boundedReads, ...Object.keys(TRIED)].toSorted());
    expect(names(reads)).toEqual([...boundedReads, ...Object.keys(CHEAP)].toSorted());
    for (const operation of bounded) expect(Object.keys(operation['responses'])).toContain('429');
  });

  it.each([...Object.entries(COUNTED), ...Object.entries(TRIED)])(
    'are refused beyond their number by %s, whatever is asked for, and hold nobody else up',
    async (name, path) => {
      const other = await app.user({ permissions: ['platform:*:read', 'platform:policies:update'] });
      const pool = app.app.get(ReportPool);
      const clients = await Promise.all(Array.from({ length: pool.options.max }, () => pool.connect()));
      const ask = () =>
        name in TRIED ? other.client.put(path, {}) : other.client.get(`${path}?page=1000000000&size=100`);
      const answers = Array.from({ length: EXPENSIVE_REQUESTS_AT_ONCE + 8 }, ask);
      await vi.waitUntil(() => pool.waitingCount >= 1, { timeout: 8_000 });
      const beside = [await app.admin.get('/auth/me'), await app.admin.get('/users/1')];
      for (const client of clients) client.release();
      expect(beside.map(({ status }) => status)).toEqual([200, 200]);
      expect(statusesOf(await Promise.all(answers))).toEqual({ 200: EXPENSIVE_REQUESTS_AT_ONCE, 429: 8 });
    },
  );

  it.each(Object.entries(BOUNDED))(
    'are refused beyond their number by %s, and hold nobody else up',
    async (_name, [template, table]) => {
      const other = await app.user({ permissions: ['platform:api-keys:read', 'platform:audit:read'] });
      const path = template.replace('$KEY', String(keyId));
      await reader.client.get('/auth/me');
      const held = Array.from({ length: EXPENSIVE_REQUESTS_AT_ONCE + 8 }, () => path);
      const [sent, beside] = await whileLocked(table, async () => {
        const answers = held.map((each) => reader.client.get(each));
        await vi.waitUntil(async () => (await waiting()) >= 1, { timeout: 8_000 });
        const others = await Promise.all([
          other.client.get('/auth/me'),
          other.client.get(table === 'audit_logs_other_months' ? '/usage/summary' : '/audit-logs?limit=1'),
          reader.client.get('/api-keys?size=1'),
          app.admin.put(`/api-keys/${keyId}`, { description: String(Math.random()) }),
        ]);
        return [answers, others];
      });
      expect(beside.map(({ status }) => status).slice(0, 3)).toEqual([200, 200, 200]);
      const answers = await Promise.all(sent);
      expect(statusesOf(answers)).toEqual({ 200: EXPENSIVE_REQUESTS_AT_ONCE, 429: 8 });
      for (const answer of answers.filter(({ status }) => status === 429)) {
        expectProblem(answer, 'request.too_many_at_once');
        expect(answer.headers.get('retry-after')).toBe('1');
      }
      expect((await reader.client.get(path)).status).toBe(200);
    },
  );

  it('are counted for all credentials of the user together', async () => {
    const { owner, key } = await ownerOfKeys(app, 1, { scopes: ['platform:api-keys:read'] });
    await app.admin.put(`/users/${owner.id}`, { permissions: ['platform:api-keys:read'] });
    const asKey = app.anonymous.withApiKey(key.secret);
    const sent = await whileLocked('usage_hourly_rollups', async () => {
      const answers = Array.from({ length: EXPENSIVE_REQUESTS_AT_ONCE }, () =>
        owner.client.get('/usage/summary'),
      );
      await vi.waitUntil(async () => (await waiting()) >= 1, { timeout: 8_000 });
      await vi.waitUntil(async () => (await asKey.get('/usage/summary')).status === 429, { timeout: 8_000 });
      return answers;
    });
    expect(statusesOf(await Promise.all(sent))).toEqual({ 200: EXPENSIVE_REQUESTS_AT_ONCE });
  });

  it('count no more once their client has left', async () => {
    const { username } = reader;
    const token = (await app.anonymous.post('/auth/login', { username, password: 'a long user passphrase' }))
      .body['access_token'];
    await whileLocked('usage_hourly_rollups', async () => {
      const leaving = new AbortController();
      const sent = Array.from({ length: EXPENSIVE_REQUESTS_AT_ONCE }, () =>
        fetch(`${app.anonymous.baseUrl}/api/v1/usage/summary`, {
          headers: { authorization: `Bearer ${String(token)}` },
          signal: leaving.signal,
        }).catch(() => undefined),
      );
      await vi.waitUntil(async () => (await waiting()) >= 1, { timeout: 8_000 });
      leaving.abort();
      await Promise.all(sent);
    });
    await vi.waitFor(async () => expect((await reader.client.get('/usage/summary')).status).toBe(200), {
      timeout: 20_000,
    });
  });

  /** How many statements wait for a lock in this database. */
  async function waiting(): Promise<number> {
    const [row] = await app.database.query<{ count: number }>(
      `SELECT count(*)::int AS count FROM pg_stat_activity
       WHERE datname = current_database() AND wait_event_type = 'Lock' AND application_name = 'latchkey-reports'`,
    );
    return row?.count ?? 0;
  }
});
