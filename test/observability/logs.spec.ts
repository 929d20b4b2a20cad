import pg from 'pg';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { readFileSync } from 'node:fs';
import { projectPath } from '../../src/common/project-path.js';
import type { ApiClient } from '../support/api-client.js';
import { AppProcess } from '../support/app-process.js';
import { createTestDatabase, type TestDatabase } from '../support/database.js';
import { testEnvironment, USER_PASSWORD } from '../support/test-app.js';

/** Not shaped like a secret, so only keeping headers and bodies out of the log keeps it out. */
const MARK = 'marked-by-the-test';
const NO_HOLD = '00000000-0000-7000-8000-000000000000';

type Operations = Record<string, { operationId: string; tags: string[] }>;
const { paths } = JSON.parse(readFileSync(projectPath('openapi.json'), 'utf8')) as {
  paths: Record<string, Operations>;
};
const DATA_PLANE = Object.entries(paths).flatMap(([path, operations]) =>
  Object.entries(operations)
    .filter(([, { operationId, tags }]) => operationId === 'report_usage' || /Verif|holds/.test(tags.join()))
    .map(([method, { operationId: name }]) => ({
      method: method.toUpperCase(),
      path: path.replace('/api/v1', ''),
      name,
    })),
);

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
    const headers = (id: string) => ({ 'x-request-id': id, 'x-forwarded-for': 'from\u009b-nowhere' });
    for (const id of ['unreadable-1', 'unreadable-2', 'unreadable-3']) {
      const line = await requestLine(id, () => app.anonymous.get('/auth/me', headers(id)));
      expect(line['client_address']).toBe('127.0.0.1');
    }
    const warnings = app
      .logLines()
      .filter(({ level, context }) => level === 'warn' && context === 'ClientAddresses');
    expect(warnings.map(({ msg }) => msg)).toEqual([
      expect.stringMatching(
        /^A trusted proxy forwarded "from\?-nowhere" in X-Forwarded-For, which is no address/,
      ),
    ]);
  });

  it('says with which problem a request was refused', async () => {
    const headers = { 'x-request-id': 'refused-here' };
    const line = await requestLine('refused-here', () => app.anonymous.get('/api-keys', headers));
    expect(line).toMatchObject({ status: 401, code: 'auth.credential_missing' });
  });

  it('has one line for each refusal of the data plane, with its request id and code, and none for its verdicts', async () => {
    const admin = await app.admin();
    const plain = app.anonymous.withAccessToken('no-token');
    const refusals: [string, string, number, () => Promise<{ status: number }>][] = [
      [
        'dp-401',
        'auth.credential_invalid',
        401,
        () => plain.post('/api-keys/verify', { key: 'x' }, named('dp-401')),
      ],
      [
        'dp-422',
        'validation.failed',
        422,
        () => admin.post('/api-keys/verify', { nothing: 1 }, named('dp-422')),
      ],
      [
        'dp-404',
        'budget_hold.not_found',
        404,
        () => admin.post(`/budget-holds/${NO_HOLD}/release`, undefined, named('dp-404')),
      ],
    ];
    for (const [requestId, code, status, send] of refusals) {
      const line = await requestLine(requestId, send);
      expect(line).toMatchObject({ level: 'info', status, code, client_address: '127.0.0.1' });
    }
    await admin.post('/api-keys/verify', { key: 'en_unknown' }, named('dp-verdict'));
    await requestLine('after-it', () => app.anonymous.get('/api-keys', named('after-it')));
    expect(app.logLines().filter(({ request_id }) => request_id === 'dp-verdict')).toEqual([]);
  });

  it('has one line for each refusal on every route of the data plane', async () => {
    const admin = await app.admin();
    const powerless = await admin.post('/api-keys', { name: 'No scopes', scopes: [] });
    const callers: [string, ApiClient, RegExp][] = [
      ['nobody', app.anonymous, /^(auth\.credential_missing|verdict\.not_authenticated)$/],
      [
        'powerless',
        app.anonymous.withApiKey(String(powerless.body['secret_key'])),
        /^(permission\.denied|verdict\.not_allowed)$/,
      ],
    ];
    expect(DATA_PLANE.length).toBeGreaterThanOrEqual(9);
    for (const [who, client, code] of callers) {
      for (const { method, path, name } of DATA_PLANE) {
        const id = `${who}-${name}`;
        const url = `${path.replace('{id}', NO_HOLD)}${name === 'forward_auth' ? '?scope=chat:write' : ''}`;
        await requestLine(id, () => client.send(method, url, { headers: named(id) }));
        const lines = app.logLines().filter(({ request_id: requestId }) => requestId === id);
        expect([id, lines]).toEqual([id, [expect.objectContaining({ code: expect.stringMatching(code) })]]);
      }
    }
  });

  it('has one line with its cause for a 503 of the data plane', async () => {
    const admin = await app.admin();
    const { body } = await admin.post('/api-keys', { name: 'Used' });
    const event = {
      api_key_id: body['api_key'].id,
      request_id: 'late',
      model: 'gpt-4o-mini',
      endpoint: '/v1/chat',
      method: 'POST',
      request_tokens: 1,
      response_tokens: 1,
      cost_cents: 1,
    };
    const before = app.logLines().length;
    const lock = new pg.Client({ connectionString: database.url });
    await lock.connect();
    await lock.query('BEGIN; LOCK TABLE usage_hourly_rollups');
    try {
      const line = await requestLine('dp-503', () => admin.post('/usage', event, named('dp-503')));
      expect(line).toMatchObject({
        level: 'warn',
        status: 503,
        cause: expect.stringMatching(/timeout|lock/),
      });
    } finally {
      await lock.end();
    }
    const lines = app.logLines().slice(before);
    expect(
      lines.filter(({ code, msg }) => code === 'service.unavailable' || /unavailable/.test(String(msg))),
    ).toHaveLength(1);
  });

  it('counts the refusals of a flood that it leaves out', async () => {
    const missing = () => app.logLines().filter(({ code }) => code === 'auth.credential_missing');
    const written = () => missing().filter(({ route }) => route === '/api/v1/api-keys/verify').length;
    const before = written();
    const flood = Array.from({ length: 300 }, () => app.anonymous.post('/api-keys/verify', { key: 'x' }));
    await Promise.all(flood);
    const leftOut = () => missing().reduce((sum, { left_out: count }) => sum + Number(count ?? 0), 0);
    await vi.waitUntil(() => written() - before + leftOut() === 300, { timeout: 10_000, interval: 20 });
    expect(leftOut()).toBeGreaterThan(0);
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

  function named(requestId: string): Record<string, string> {
    return { 'x-request-id': requestId };
  }

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
    await vi.waitUntil(() => app.stdout.includes('request=pretty'), { timeout: 10_000, interval: 5 });
    expect(app.stdout).toMatch(
      /^\[[\d:.]{12}\] INFO 404 GET \/\[redacted\] request\.route_not_found [\d.]+ ms from=127\.0\.0\.1 request=pretty$/m,
    );
    expect(app.stdout).not.toContain(secret);
    expect(app.logLines()).toEqual([]);
    expect(await app.stop()).toBe(0);
  });
});

function testPassword(): string {
  return testEnvironment('')['ADMIN_PASSWORD'] ?? '';
}
