import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { ApiAnswer, ApiClient, ApiRequest } from '../support/api-client.js';
import { AppProcess } from '../support/app-process.js';
import { createTestDatabase, type TestDatabase } from '../support/database.js';
import { ADMIN, testEnvironment, USER_PASSWORD } from '../support/test-app.js';
import { databaseContents } from './database-contents.js';
import { rawRequest } from './raw-request.js';
import { FORM_NAMES, plainest, SECRET_FORMS, tracesOf } from './secret-forms.js';

const NEW_PASSWORD = 'the next long passphrase';

/** Where no secret belongs: requests that carry one in a place that is not for it. */
function misplaced(secret: string): [method: string, path: string, request: ApiRequest][] {
  const json = (body: unknown): ApiRequest => ({ body });
  const raw = (rawBody: string, type = 'application/json'): ApiRequest => ({
    rawBody,
    headers: { 'content-type': type },
  });
  const header = (name: string): ApiRequest => ({ body: { name: 'By header' }, headers: { [name]: secret } });
  return [
    ['POST', '/auth/login', json({ username: secret, password: secret })],
    ['POST', '/auth/login', json({ username: 'admin', password: secret, [secret]: 1 })],
    ['POST', '/auth/refresh', json({ refresh_token: `${secret}x` })],
    ['POST', '/api-keys', json({ name: 'x', [secret]: secret })],
    [
      'POST',
      '/api-keys',
      json({ name: [secret], expires_at: secret, rate_limit_per_day: secret, tags: secret }),
    ],
    [
      'POST',
      '/api-keys',
      json({ name: 'x', allowed_ips: [secret], budget_type: secret, nested: { [secret]: {} } }),
    ],
    ['POST', '/api-keys', raw(`{"name":"${secret}"`)],
    ['POST', '/api-keys', raw(secret)],
    ['POST', '/api-keys', raw(`"${secret}"`)],
    ['POST', '/api-keys', raw(`["${secret}"]`)],
    ['POST', '/api-keys', raw(`name=${secret}`, 'application/x-www-form-urlencoded')],
    ['POST', '/api-keys', raw(secret, 'text/plain')],
    ['POST', '/api-keys', raw('{}', `application/${secret}`)],
    ['POST', '/users', json({ username: 'x', password: 'short', role: secret, permissions: [secret] })],
    ['PUT', '/users/1/password', json({ current_password: secret, new_password: NEW_PASSWORD })],
    ['GET', `/api-keys/${secret}`, {}],
    ['PATCH', `/api-keys/${secret}`, json({})],
    ['GET', `/users/${secret}`, {}],
    ['GET', `/${secret}`, {}],
    ['GET', `//${secret}`, {}],
    ['GET', `//errors/${secret.slice(0, 200)}`, {}],
    ['GET', `/api-keys?search=${secret}&tag=${secret}`, {}],
    ['GET', `/api-keys?page=${secret}&${secret}=1`, {}],
    ['GET', `/audit-logs?action=${secret.slice(0, 90)}&resource_id=${secret.slice(0, 190)}`, {}],
    ['GET', `/audit-logs?cursor=${secret}&from=${secret}`, {}],
    ['GET', `/auth/me?api_key=${secret}&access_token=${secret}`, {}],
    ['GET', `/forward-auth?model=${secret}&scope=${secret}`, {}],
    ['POST', '/api-keys/verify', json({ key: `${secret}x`, model: secret, ip: secret, [secret]: 1 })],
    ...['user-agent', 'x-request-id', 'idempotency-key', 'if-match', 'referer', 'origin', 'cookie'].map(
      (name): [string, string, ApiRequest] => ['POST', '/api-keys', header(name)],
    ),
    ...['accept', 'x-forwarded-for', 'forwarded', 'traceparent', 'authorization', 'x-api-key'].map(
      (name): [string, string, ApiRequest] => ['POST', '/api-keys', header(name)],
    ),
    ['GET', '/users', { headers: { authorization: `Basic ${secret}` } }],
    ['GET', '/users', { headers: { authorization: `Bearer ${secret}x` } }],
  ];
}

describe('no secret is kept or shown', { timeout: 120_000 }, () => {
  let database: TestDatabase;
  let app: AppProcess;
  let admin: ApiClient;
  const secrets = new Map<string, string>();
  const shown: string[] = [];
  beforeAll(async () => {
    database = await createTestDatabase();
    const environment: Record<string, string> = { ...testEnvironment(database.url), LOG_LEVEL: 'trace' };
    app = await AppProcess.start(environment);
    for (const name of ['JWT_SECRET', 'API_KEY_PEPPERS', 'ADMIN_PASSWORD'] as const) {
      secrets.set(name, environment[name]!.replace(/^1:/, ''));
    }
    secrets.set('a password', USER_PASSWORD).set('a new password', NEW_PASSWORD);
    const databasePassword = /:\/\/[^:@/]+:([^@]+)@/.exec(database.url)?.[1];
    if (databasePassword !== undefined) secrets.set('the password of the database', databasePassword);
  }, 180_000);
  afterAll(async () => {
    await app.kill9();
    await database.drop();
  });

  /** Remembers everything that was answered, headers included, but for what an answer is there to reveal. */
  async function ask(
    client: ApiClient,
    method: string,
    path: string,
    request: ApiRequest = {},
  ): Promise<ApiAnswer> {
    const answer = await client.send(method, path, request);
    shown.push(`${method} ${path.slice(0, 12)}: ${JSON.stringify([...answer.headers])} ${answer.text}`);
    return answer;
  }

  async function reveal(
    names: Record<string, string>,
    client: ApiClient,
    path: string,
    body: object,
  ): Promise<ApiAnswer> {
    const answer = await client.post(path, body);
    expect([path, answer.status < 300]).toEqual([path, true]);
    const { api_key: apiKey, ...rest } = answer.body;
    shown.push(JSON.stringify([apiKey, [...answer.headers]]));
    for (const [field, name] of Object.entries(names)) secrets.set(name, rest[field]);
    return answer;
  }

  /** In no form and in no case: a username, for one, is kept in lower case. */
  function expectNowhere(text: string): void {
    const plain = plainest(text);
    for (const [name, secret] of secrets) {
      for (const trace of tracesOf(secret)) {
        const start = plain.indexOf(trace);
        const found = start === -1 ? '' : plain.slice(Math.max(0, start - 200), start);
        expect([name, found, start]).toEqual([name, '', -1]);
      }
    }
  }

  it('while people use it as it is meant', async () => {
    const tokens = { access_token: 'an access token', refresh_token: 'a refresh token' };
    const login = await reveal(tokens, app.anonymous, '/auth/login', ADMIN);
    const session = { access_token: 'a newer access token', refresh_token: 'a newer refresh token' };
    const refreshed = { refresh_token: login.body['refresh_token'] as string };
    const renewed = await reveal(session, app.anonymous, '/auth/refresh', refreshed);
    admin = app.anonymous.withAccessToken(renewed.body['access_token']);
    const created = await reveal({ secret_key: 'an API key' }, admin, '/api-keys', {
      name: 'Of an admin',
      scopes: ['platform:api-keys:read', 'platform:api-keys:verify'],
    });
    const id = String(created.body['api_key'].id);
    await reveal({ secret_key: 'a newer API key' }, admin, `/api-keys/${id}/regenerate`, {
      grace_period_seconds: 600,
    });
    const client = app.anonymous.withApiKey(secrets.get('an API key')!);
    await ask(client, 'GET', `/api-keys/${id}`);
    await ask(client, 'GET', `/api-keys/${id}/usage`);
    await ask(client, 'GET', '/forward-auth');
    await ask(client, 'POST', '/api-keys/verify', { body: { key: secrets.get('a newer API key') } });
    const headers = { 'content-type': 'application/x-www-form-urlencoded' };
    await ask(client, 'POST', '/introspect', { rawBody: `token=${secrets.get('an API key')!}`, headers });
    const body = { username: 'dana', password: USER_PASSWORD };
    const { body: user } = await ask(admin, 'POST', '/users', { body });
    await ask(admin, 'PUT', `/users/${String(user['id'])}/password`, {
      body: { new_password: NEW_PASSWORD },
    });
    await reveal(
      { access_token: 'her access token', refresh_token: 'her refresh token' },
      app.anonymous,
      '/auth/login',
      {
        username: 'dana',
        password: NEW_PASSWORD,
      },
    );
    await ask(admin, 'GET', '/users');
    await ask(admin, 'GET', '/api-keys');
    expect([...secrets.keys()]).toEqual(expect.arrayContaining(['a newer API key', 'her refresh token']));
  });

  it('while people put it where it does not belong', async () => {
    const misplaceable = ['an API key', 'a newer API key', 'a newer refresh token', 'an access token'];
    for (const secret of misplaceable.map((name) => secrets.get(name)!)) {
      for (const [method, path, request] of misplaced(secret)) {
        const { status } = await ask(admin, method, path, request);
        expect([method, path, status < 500]).toEqual([method, path, true]);
      }
      for (const path of [
        `/api/v1/%zz/${secret}`,
        `/api/v1/users/${secret}${'x'.repeat(300)}`,
        `http://x/${secret}`,
      ]) {
        const { headers, text } = await rawRequest(app.baseUrl, 'GET', path);
        shown.push(JSON.stringify(headers) + text);
      }
    }
  });

  it('while the service itself fails', async () => {
    const secret = secrets.get('an API key')!;
    for (const form of FORM_NAMES) {
      const said = SECRET_FORMS[form](secret);
      await database.query(`
        CREATE OR REPLACE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN RAISE EXCEPTION 'The row of % is refused.', '${said}' USING DETAIL = '${said}', HINT = '${said}'; END $$;
        CREATE OR REPLACE TRIGGER fail BEFORE INSERT ON api_keys FOR EACH ROW EXECUTE FUNCTION fail()`);
      const headers = { 'user-agent': said };
      const answer = await ask(admin, 'POST', '/api-keys', { body: { name: 'Refused' }, headers });
      expect(answer.status).toBe(500);
    }
    await database.query('DROP TRIGGER fail ON api_keys; DROP FUNCTION fail()');
    expect(app.stdout).toContain('The row ');
  });

  it('in what was answered', () => {
    expect(shown.length).toBeGreaterThan(150);
    for (const text of shown) expectNowhere(text);
  });

  it('in the audit log, however it is read', async () => {
    const stream = await admin.get('/audit-logs', { accept: 'application/x-ndjson' });
    expect(stream.text.split('\n').length).toBeGreaterThan(50);
    expectNowhere(stream.text);
    expectNowhere((await admin.get('/audit-logs?limit=200')).text);
  });

  it('in the measurements', async () => {
    const { text } = await admin.get('//metrics');
    expect(text).toContain('http_request_duration_seconds');
    expectNowhere(text);
  });

  it('in any table', async () => {
    const contents = await databaseContents(database);
    expect(Object.keys(contents)).toEqual(
      expect.arrayContaining(['login_failures', 'idempotency_keys', 'refresh_tokens']),
    );
    expectNowhere(JSON.stringify(contents));
  });

  it('in what it logged, at the lowest level', () => {
    expect(app.logLines().length).toBeGreaterThan(100);
    expectNowhere(app.stdout + app.stderr);
  });
});
