import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { AppProcess } from '../support/app-process.js';
import { createTestDatabase, type TestDatabase } from '../support/database.js';
import { testEnvironment, USER_PASSWORD } from '../support/test-app.js';

/** Not shaped like a secret, so only keeping headers and bodies out of the log keeps it out. */
const MARK = 'marked-by-the-test';

let database: TestDatabase;
beforeAll(async () => {
  database = await createTestDatabase();
});
afterAll(() => database.drop());

describe('The log', () => {
  let app: AppProcess;
  beforeAll(async () => {
    const environment = {
      ...testEnvironment(database.url),
      LOG_LEVEL: 'debug',
      TRUSTED_PROXIES: '127.0.0.1',
    };
    app = await AppProcess.start(environment);
  });
  afterAll(() => app.kill9());

  it('is lines of JSON, each with time, level and message', async () => {
    await requestLine('of-json', () => app.anonymous.get('/api-keys', { 'x-request-id': 'of-json' }));
    const printed = app.stdout.split('\n').filter((line) => line !== '');
    for (const line of printed) {
      expect(JSON.parse(line)).toMatchObject({
        time: expect.stringMatching(/^\d{4}-\d\d-\d\dT[\d:.]+Z$/),
        level: expect.stringMatching(/^(debug|info|warn|error)$/),
        msg: expect.any(String),
      });
    }
    expect(app.stderr).toBe('');
  });

  it('has one line for each request, which says what was asked, who asked and how it ended', async () => {
    const admin = await app.admin();
    const created = await admin.post('/api-keys', { name: 'A key', scopes: ['platform:*'] });
    const id = Number(created.body['api_key'].id);
    const byKey = app.anonymous.withApiKey(String(created.body['secret_key']));

    const line = await requestLine('by-key', () =>
      byKey.get(`/api-keys/${id}`, { 'x-request-id': 'by-key' }),
    );
    expect(line).toMatchObject({
      level: 'info',
      msg: 'request',
      method: 'GET',
      path: `/api/v1/api-keys/${id}`,
      route: '/api/v1/api-keys/:id',
      status: 200,
      duration_ms: expect.any(Number),
      request_id: 'by-key',
      user_id: 1,
      api_key_id: id,
      client_address: '127.0.0.1',
    });
    expect(app.logLines().filter((other) => other['request_id'] === 'by-key')).toHaveLength(1);
  });

  it('leaves the query out, and the address of what is no route as it came', async () => {
    const headers = { 'x-request-id': 'no-route' };
    const line = await requestLine('no-route', () => app.anonymous.get(`//nowhere?token=${MARK}`, headers));
    expect(line).toMatchObject({
      status: 404,
      path: '/nowhere',
      route: 'unknown',
      client_address: '127.0.0.1',
    });
    expect(line['user_id']).toBeUndefined();
  });

  it('names the request in every line that is written while it is answered', async () => {
    await database.query('ALTER TABLE api_key_totals RENAME TO away');
    const admin = await app.admin();
    const headers = { 'x-request-id': 'our-fault' };
    const line = await requestLine('our-fault', () => admin.get('/api-keys/1', headers));
    await database.query('ALTER TABLE away RENAME TO api_key_totals');

    expect(line).toMatchObject({ level: 'error', status: 500 });
    const fault = app
      .logLines()
      .find(({ request_id, stack }) => request_id === 'our-fault' && stack !== undefined);
    expect(fault).toMatchObject({ level: 'error', context: 'ProblemFilter' });
    expect(String(fault?.['stack'])).toContain('relation "api_key_totals" does not exist');
  });

  it('warns of a proxy that forwards no address, once and not with every request', async () => {
    const headers = (id: string) => ({ 'x-request-id': id, 'x-forwarded-for': 'from-nowhere' });
    for (const id of ['unreadable-1', 'unreadable-2', 'unreadable-3']) {
      const line = await requestLine(id, () => app.anonymous.get('/auth/me', headers(id)));
      expect(line['client_address']).toBe('127.0.0.1');
    }
    const warnings = app
      .logLines()
      .filter(({ level, context }) => level === 'warn' && context === 'ClientAddresses');
    expect(warnings.map(({ msg }) => msg)).toEqual([
      expect.stringMatching(
        /^A trusted proxy forwarded "from-nowhere" in X-Forwarded-For, which is no address/,
      ),
    ]);
  });

  it('holds no credential, no password and no secret, wherever a caller put it', async () => {
    const admin = await app.admin();
    const { body } = await admin.post('/api-keys', { name: 'A key' });
    const secret = String(body['secret_key']);
    const tokens = await app.anonymous.post('/auth/login', { username: 'admin', password: testPassword() });
    const secrets = [secret, String(tokens.body['access_token']), String(tokens.body['refresh_token'])];
    for (const [index, each] of [...secrets, `${MARK}-value`].entries()) {
      const anywhere = {
        authorization: `Bearer ${each}`,
        'user-agent': each,
        'x-request-id': `leak-${index}`,
        cookie: `session=${each}`,
      };
      await app.anonymous.get(`//${each}?key=${each}`, anywhere);
      await app.anonymous.get('/api-keys', { 'x-api-key': each, 'x-request-id': each });
      await app.anonymous.get('/api-keys', { authorization: `Basic ${each}` });
      await app.anonymous.post('/auth/login', { username: `${MARK}-name`, password: each }, anywhere);
      await app.anonymous.send('POST', '/auth/refresh', { rawBody: `{"refresh_token": "${each}"` });
      await app.anonymous.post(`/api-keys/${each}/regenerate`, { [each]: each }, anywhere);
    }
    await admin.post('/users', { username: 'somebody', password: USER_PASSWORD });
    await requestLine('the-last', () => app.anonymous.get('/api-keys', { 'x-request-id': 'the-last' }));

    const printed = app.stdout + app.stderr;
    const found = [...secrets, USER_PASSWORD, testPassword()].filter((each) => printed.includes(each));
    expect(found).toEqual([]);
    // What is not shaped like a secret may be seen only where it is an address or a request id, which it chose itself.
    const leaked = app
      .logLines()
      .filter(({ path: _path, request_id: _id, ...rest }) =>
        JSON.stringify({ ...rest, msg: '' }).includes(MARK),
      );
    expect(leaked).toEqual([]);
  });

  /** Sends a request with the id and answers its line, which may be written a moment after the answer. */
  async function requestLine(
    requestId: string,
    send: () => Promise<unknown>,
  ): Promise<Record<string, unknown>> {
    await send();
    return vi.waitUntil(
      () => app.logLines().find(({ request_id, msg }) => request_id === requestId && msg === 'request'),
      { timeout: 10_000, interval: 5 },
    );
  }
});

describe('The log with LOG_FORMAT=pretty', () => {
  it('is text for people, without secrets as well', async () => {
    const environment = { ...testEnvironment(database.url), LOG_LEVEL: 'info', LOG_FORMAT: 'pretty' };
    const app = await AppProcess.start(environment);
    const secret = `en_${'a'.repeat(38)}`;
    await app.anonymous.get(`//${secret}`, { 'x-request-id': 'pretty' });
    await vi.waitUntil(() => app.stdout.includes('"request_id":"pretty"'), { timeout: 10_000, interval: 5 });
    expect(app.stdout).toMatch(/INFO.*: request \{.*"status":404/);
    expect(app.stdout).not.toContain(secret);
    expect(app.logLines()).toEqual([]);
    expect(await app.stop()).toBe(0);
  });
});

function testPassword(): string {
  return testEnvironment('')['ADMIN_PASSWORD'] ?? '';
}
