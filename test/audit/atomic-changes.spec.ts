import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { RouteTable } from '../../src/contract/route-table.service.js';
import { databaseContents } from '../security/database-contents.js';
import type { ApiAnswer, ApiClient } from '../support/api-client.js';
import { doom, installDoom } from '../support/audit-faults.js';
import { TestApp, USER_PASSWORD } from '../support/test-app.js';

/** Counts are folded by a job at any time; a login that failed is counted as that. */
const CHANGING_BY_THEMSELVES = ['api_key_counts', 'api_key_count_changes', 'login_failures'];

/** One request that changes something. */
interface Attempt {
  readonly client: ApiClient;
  readonly path: string;
  readonly body?: unknown;
}

/** A change, by its route; `action` names the audit row that is made to fail. */
interface Change {
  readonly title?: string;
  readonly route: string;
  readonly action: string;
  /** Status without the fault. Default: 200. */
  readonly status?: number;
  /** Makes what is to be changed. */
  prepare(): Promise<Attempt>;
}

let app: TestApp;
beforeAll(async () => {
  app = await TestApp.start();
  await installDoom(app.database);
});
afterAll(() => app.stop());

const keyChange = (route: string, action: string, path: string, body?: unknown): Change => ({
  route,
  action,
  prepare: async () => {
    const { id } = await app.apiKey(app.admin, { is_unlimited: false, budget_limit_cents: 100 });
    if (action === 'activate_api_key') await app.admin.post(`/api-keys/${id}/deactivate`);
    return { client: app.admin, path: `/api-keys/${id}${path}`, body };
  },
});

const userChange = (route: string, action: string, path: string, body?: unknown): Change => ({
  route,
  action,
  prepare: async () => {
    const { id } = await app.user({ role: 'developer' });
    return { client: app.admin, path: `/users/${id}${path}`, body };
  },
});

const CHANGES: readonly Change[] = [
  {
    route: 'POST /api-keys',
    action: 'create_api_key',
    status: 201,
    prepare: async () => ({
      client: app.admin,
      path: '/api-keys',
      body: { name: 'Perhaps', is_unlimited: false, budget_limit_cents: 100 },
    }),
  },
  keyChange('PUT /api-keys/:id', 'update_api_key', '', { name: 'Renamed', is_unlimited: true }),
  keyChange('POST /api-keys/:id/activate', 'activate_api_key', '/activate'),
  keyChange('POST /api-keys/:id/deactivate', 'deactivate_api_key', '/deactivate'),
  keyChange('POST /api-keys/:id/regenerate', 'regenerate_api_key', '/regenerate'),
  {
    route: 'POST /api-keys/:id/transfer',
    action: 'transfer_api_key',
    prepare: async () => {
      const [{ id }, heir] = [await app.apiKey(), await app.user()];
      return { client: app.admin, path: `/api-keys/${id}/transfer`, body: { user_id: heir.id } };
    },
  },
  {
    ...keyChange('POST /api-keys/:id/regenerate', 'regenerate_api_key', '/regenerate', {
      grace_period_seconds: 60,
    }),
    title: 'with a grace period',
  },
  {
    route: 'DELETE /api-keys/:id/secrets/:secret_id',
    action: 'delete_api_key_secret',
    prepare: async () => {
      const { id, body } = await app.apiKey();
      await app.admin.post(`/api-keys/${id}/regenerate`, { grace_period_seconds: 60 });
      return { client: app.admin, path: `/api-keys/${id}/secrets/${String(body['secrets'][0].id)}` };
    },
  },
  keyChange('DELETE /api-keys/:id', 'delete_api_key', ''),
  {
    route: 'POST /users',
    action: 'create_user',
    status: 201,
    prepare: async () => ({
      client: app.admin,
      path: '/users',
      body: { username: 'perhaps', password: USER_PASSWORD },
    }),
  },
  userChange('PUT /users/:id', 'update_user', '', { role: 'auditor', is_active: false }),
  userChange('PUT /users/:id/password', 'set_user_password', '/password', {
    new_password: 'another passphrase',
  }),
  {
    route: 'PUT /users/:id/password',
    title: 'of oneself',
    action: 'set_user_password',
    prepare: async () => {
      const { client, id } = await app.user();
      const body = { current_password: USER_PASSWORD, new_password: 'another passphrase' };
      return { client, path: `/users/${id}/password`, body };
    },
  },
  userChange('DELETE /users/:id', 'delete_user', ''),
  {
    route: 'DELETE /users/:id',
    title: 'when the row of one of their keys fails',
    action: 'delete_api_key',
    prepare: async () => {
      const { client, id } = await app.user({ role: 'developer' });
      await app.apiKey(client);
      return { client: app.admin, path: `/users/${id}` };
    },
  },
  {
    route: 'POST /auth/login',
    action: 'login',
    prepare: async () => {
      const { username } = await app.user();
      return { client: app.anonymous, path: '/auth/login', body: { username, password: USER_PASSWORD } };
    },
  },
  {
    route: 'POST /auth/refresh',
    action: 'refresh_session',
    prepare: async () => ({ client: app.anonymous, path: '/auth/refresh', body: await freshToken() }),
  },
  {
    route: 'POST /auth/refresh',
    title: 'of a token that was used, which ends the session',
    action: 'refresh_session',
    status: 401,
    prepare: async () => {
      const body = await freshToken();
      await app.anonymous.post('/auth/refresh', body);
      app.clock.advanceSeconds(10);
      return { client: app.anonymous, path: '/auth/refresh', body };
    },
  },
  {
    route: 'POST /auth/logout',
    action: 'logout',
    prepare: async () => ({ client: (await app.user()).client, path: '/auth/logout' }),
  },
];

describe('R5: a change whose audit row cannot be written did not happen', () => {
  it('is tried with every route that changes something', () => {
    const changing = app.app
      .get(RouteTable)
      .all()
      .map(({ method, url }) => `${method} ${url.replace('/api/v1', '')}`)
      .filter((route) => /^(POST|PUT|PATCH|DELETE) \/(api-keys|users|auth)\b(?!\/verify)/.test(route));
    expect([...new Set(changing)].toSorted()).toEqual(
      [...new Set(CHANGES.map(({ route }) => route))].toSorted(),
    );
  });

  it.each(CHANGES.map((change) => ({ ...change, name: [change.route, change.title].join(' ').trim() })))(
    '$name',
    async ({ route, action, status = 200, prepare }) => {
      const { client, path, body } = await prepare();
      const [method = ''] = route.split(' ');
      const before = await contents();
      const failed = await client.send(method, path, { body, headers: { 'x-request-id': doom(action) } });

      expectProblem(failed);
      expect(await contents()).toEqual(before);
      const repeated = await client.send(method, path, { body });
      expect(repeated.status).toBe(status);
      expect(await contents()).not.toEqual(before);
    },
  );
});

describe('A read whose audit row cannot be written is not answered', () => {
  it.each([
    ['GET /api-keys', 'list_api_keys'],
    ['GET /api-keys/:key', 'get_api_key'],
    ['GET /api-keys/:key/usage', 'get_api_key_usage'],
    ['GET /users', 'list_users'],
    ['GET /users/:user', 'get_user'],
    ['GET /audit-logs', 'list_audit_logs'],
    ['GET /audit-logs', 'export_audit_logs'],
  ])('%s (%s)', async (route, action) => {
    const [{ id: key }, { id: user }] = [
      await app.apiKey(app.admin, { name: 'Not to be seen' }),
      await app.user(),
    ];
    const path = route.slice(4).replace(':key', String(key)).replace(':user', String(user));
    const accept: Record<string, string> =
      action === 'export_audit_logs' ? { accept: 'application/x-ndjson' } : {};

    const failed = await app.admin.get(path, { ...accept, 'x-request-id': doom(action) });

    expectProblem(failed);
    expect(failed.text).not.toContain('Not to be seen');
    expect((await app.admin.get(path, accept)).status).toBe(200);
  });

  it('neither is a refusal, nor a login that failed', async () => {
    const { client } = await app.user();
    expectProblem(await client.get('/users', { 'x-request-id': doom('list_users') }));
    const credentials = { username: 'nobody', password: 'not the password' };
    expectProblem(await app.anonymous.post('/auth/login', credentials, { 'x-request-id': doom('login') }));
  });
});

async function contents(): Promise<Record<string, string[]>> {
  const all = await databaseContents(app.database);
  return Object.fromEntries(Object.entries(all).filter(([table]) => !CHANGING_BY_THEMSELVES.includes(table)));
}

async function freshToken(): Promise<{ refresh_token: string }> {
  const { username } = await app.user();
  const { body } = await app.anonymous.post('/auth/login', { username, password: USER_PASSWORD });
  return { refresh_token: String(body['refresh_token']) };
}

function expectProblem(answer: ApiAnswer): void {
  expect(answer.status).toBeGreaterThanOrEqual(500);
  expect(answer.headers.get('content-type')).toMatch(/^application\/problem\+json/);
  expect(answer.text).not.toContain('refused by the test');
}
