import pg from 'pg';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { EXPENSIVE_REQUESTS_AT_ONCE } from '../../src/http/expensive-requests.js';
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
    list_api_keys: ['/api-keys?search=nothing', 'api_key_search_texts'],
    list_audit_logs: ['/audit-logs?limit=5', 'audit_logs_other_months'],
  };

  it('are declared on every route that reads much', async () => {
    const { body } = await app.anonymous.get('//openapi.json');
    const operations = Object.values(
      body['paths'] as Record<string, Record<string, ApiAnswer['body']>>,
    ).flatMap((item) => Object.values(item));
    const bounded = operations.filter((operation) => operation['x-bounded-per-caller'] === true);
    expect(bounded.map((operation) => String(operation['operationId'])).toSorted()).toEqual(
      Object.keys(BOUNDED).toSorted(),
    );
    for (const operation of bounded) expect(Object.keys(operation['responses'])).toContain('429');
  });

  it.each(Object.entries(BOUNDED))(
    'are refused beyond their number by %s, and hold nobody else up',
    async (_name, [template, table]) => {
      const other = await app.user({ permissions: ['platform:api-keys:read', 'platform:audit:read'] });
      const path = template.replace('$KEY', String(keyId));
      await reader.client.get('/auth/me');
      const held = Array.from({ length: EXPENSIVE_REQUESTS_AT_ONCE + 8 }, () => path);
      const [sent, beside] = await whileLocked(table, async () => {
        const answers = held.map((each) => reader.client.get(each));
        await vi.waitUntil(async () => (await waiting()) >= 2, { timeout: 8_000 });
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
      await vi.waitUntil(async () => (await waiting()) >= 2, { timeout: 8_000 });
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
      await vi.waitUntil(async () => (await waiting()) >= 2, { timeout: 8_000 });
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
