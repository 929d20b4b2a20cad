import { once } from 'node:events';
import { type AddressInfo, connect, createServer } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { rawRequest } from '../security/raw-request.js';
import { ERROR_CATALOGUE, type ErrorCode } from '../../src/common/error-catalogue.js';
import { answerClientError } from '../../src/http/client-errors.js';
import type { ApiAnswer } from '../support/api-client.js';
import { expectInvalid, expectProblem } from '../support/problems.js';
import { TestApp } from '../support/test-app.js';
import { newSecret } from '../verification/secrets.js';

const KILOBYTE = 1_024;

describe('an error', () => {
  let app: TestApp;
  beforeAll(async () => {
    app = await TestApp.start();
  });
  afterAll(() => app.stop());

  const sendRaw = (rawBody: string, headers: Record<string, string> = {}, path = '/api-keys') =>
    app.admin.send('POST', path, { rawBody, headers });

  const errors: Record<string, { code: ErrorCode; instance: string; cause: () => Promise<ApiAnswer> }> = {
    'a body that is not JSON': {
      code: 'request.malformed',
      instance: '/api/v1/api-keys',
      cause: () => sendRaw('{"name":'),
    },
    'a body of two JSON values': {
      code: 'request.malformed',
      instance: '/api/v1/api-keys',
      cause: () => sendRaw('{} {}'),
    },
    'a body of an unknown media type': {
      code: 'request.media_type_unsupported',
      instance: '/api/v1/api-keys',
      cause: () => sendRaw('name: x', { 'content-type': 'application/yaml' }),
    },
    'a body that is too large': {
      code: 'request.body_too_large',
      instance: '/api/v1/users',
      cause: () => sendRaw(`"${'x'.repeat(65 * KILOBYTE)}"`, {}, '/users'),
    },
    'an address that is no route': {
      code: 'request.route_not_found',
      instance: '/api/v1/no-such-thing',
      cause: () => app.admin.get('/no-such-thing?key=value'),
    },
    'an error page that is none': {
      code: 'request.route_not_found',
      instance: '/errors/no.such.code',
      cause: () => app.anonymous.get('//errors/no.such.code'),
    },
    'no credential': {
      code: 'auth.credential_missing',
      instance: '/api/v1/users',
      cause: () => app.anonymous.get('/users'),
    },
    'a broken rule': {
      code: 'validation.failed',
      instance: '/api/v1/api-keys/x',
      cause: () => app.admin.get('/api-keys/x'),
    },
    'nobody there': {
      code: 'user.not_found',
      instance: '/api/v1/users/999999',
      cause: () => app.admin.get('/users/999999'),
    },
  };
  it.each(Object.keys(errors))(
    'is a problem document, with its path and without its query: %s',
    async (name) => {
      const { code, instance, cause } = errors[name]!;
      const answer = await cause();
      expectProblem(answer, code);
      expect(answer.body['instance']).toBe(instance);
      expect(answer.headers.get('cache-control')).toBe('no-store');
      const members = ['code', 'detail', 'instance', 'request_id', 'status', 'title', 'type'];
      const more = code === 'validation.failed' ? ['errors'] : [];
      expect(Object.keys(answer.body).toSorted()).toEqual([...members, ...more].toSorted());
    },
  );

  it.each<[path: string, code: ErrorCode, instance?: string]>([
    ['/api/v1/api-keys/%zz', 'request.malformed', '/api/v1/api-keys/%25zz'],
    ['/api/v1/%', 'request.malformed', '/api/v1/%25'],
    ['/%ff', 'request.malformed'],
    [`/api/v1/api-keys/${'1'.repeat(300)}`, 'request.uri_too_long'],
    [`/errors/${'x'.repeat(300)}`, 'request.uri_too_long'],
  ])('is one too where the address cannot be read: %s', async (path, code, instance = path) => {
    const { status, headers, text } = await rawRequest(app.anonymous.baseUrl, 'GET', path);
    expect([status, headers['content-type']]).toEqual([
      ERROR_CATALOGUE[code].status,
      expect.stringMatching(/^application\/problem\+json/),
    ]);
    expect(JSON.parse(text)).toEqual({
      type: `/errors/${code}`,
      title: ERROR_CATALOGUE[code].title,
      status: ERROR_CATALOGUE[code].status,
      detail: expect.stringMatching(/^[A-Z].*\.?$/),
      instance,
      code,
      request_id: headers['x-request-id'],
    });
  });

  it.each([
    ['no HTTP at all', 'NONSENSE\r\n\r\n', 'request.malformed'],
    ['a broken header', 'GET / HTTP/1.1\r\nHost: x\r\nno colon\r\n\r\n', 'request.malformed'],
    [
      'two lengths of a body',
      'POST /api/v1/auth/login HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n',
      'request.malformed',
    ],
    [
      'headers without end',
      `GET /api/v1/users HTTP/1.1\r\nHost: x\r\nX-Api-Key: ${'x'.repeat(20_000)}`,
      'request.headers_too_large',
    ],
  ] as const)(
    'is one too where there is no request, but %s; the connection ends',
    async (_what, bytes, code) => {
      const { port } = new URL(app.anonymous.baseUrl);
      expectClientProblem(await exchange(Number(port), bytes), code);
    },
  );

  it('is one too for a request that takes too long to arrive, unless its caller has gone', async () => {
    const answerTo = async (code: string) => {
      const server = createServer((socket) =>
        answerClientError(Object.assign(new Error('of Node'), { code }), socket),
      );
      await once(server.listen(0, '127.0.0.1'), 'listening');
      const answer = await exchange((server.address() as AddressInfo).port, 'GET / HTTP/1.1\r\n');
      server.close();
      return answer;
    };
    expectClientProblem(await answerTo('ERR_HTTP_REQUEST_TIMEOUT'), 'request.timeout');
    expect(await answerTo('ECONNRESET')).toBe('');
  });

  it.each([
    ['/a"b<c>|{d}^`\\', '/a%22b%3Cc%3E%7C%7Bd%7D%5E%60%5C'],
    ['/[x]', '/%5Bx%5D'],
    [`/${newSecret()}`, '/%5Bredacted%5D'],
    ["/-._~!$&'()*+,;=:@/%2f", "/-._~!$&'()*+,;=:@/%2f"],
  ])('names the path %j as a URI may hold it', async (path, instance) => {
    const { port } = new URL(app.anonymous.baseUrl);
    const answer = await exchange(
      Number(port),
      `GET ${path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`,
    );
    expect(JSON.parse(answer.slice(answer.indexOf('\r\n\r\n')))).toMatchObject({
      instance,
      code: 'request.route_not_found',
    });
  });

  it('is not needed for an expectation that nobody knows, which is passed over', async () => {
    const { port } = new URL(app.anonymous.baseUrl);
    const head = 'GET /health/live HTTP/1.1\r\nHost: x\r\nConnection: close\r\nExpect: the-best\r\n\r\n';
    expect(await exchange(Number(port), head)).toMatch(/^HTTP\/1\.1 200 /);
  });

  it('names the methods of a route that lacks the asked one', async () => {
    const cases = [
      ['PATCH', '/api/v1/users', 'GET, HEAD, POST'],
      ['POST', '/api/v1/users/1', 'DELETE, GET, HEAD, PUT'],
      ['GET', '/api/v1/auth/login', 'POST'],
      ['DELETE', '/api/v1/users/1/password/', 'PUT'],
      ['POST', '/health/live', 'GET, HEAD'],
      ['PROPFIND', '/api/v1/api-keys/1/usage', 'GET, HEAD'],
    ] as const;
    for (const [method, path, allow] of cases) {
      const { status, headers, text } = await rawRequest(app.anonymous.baseUrl, method, path);
      expect([method, path, status, headers['allow']]).toEqual([method, path, 405, allow]);
      expect(JSON.parse(text)).toMatchObject({
        code: 'request.method_not_allowed',
        detail: `This route answers ${allow}.`,
      });
    }
  });

  it('of validation lists every broken rule at once, each by its field', async () => {
    const answer = await app.admin.post('/api-keys', {
      name: '',
      tags: 'x',
      rate_limit_per_minute: 0,
      nonsense: 1,
    });
    expectProblem(answer, 'validation.failed');
    const broken = answer.body['errors'] as { field: string; message: string }[];
    const fields = broken.map(({ field }) => field).toSorted();
    expect(fields).toEqual(['name', 'nonsense', 'rate_limit_per_minute', 'tags']);
    expect(broken.every(({ message }) => /^[a-z]/.test(message))).toBe(true);
  });

  it.each<[string, Record<string, unknown>, readonly string[]]>([
    [
      'rules across fields beside those of one',
      { name: '', budget_limit_cents: 5, expires_at: '2020-01-01T00:00:00Z' },
      ['budget_limit_cents', 'expires_at', 'name'],
    ],
    ['a limit that is missing', { name: 7, is_unlimited: false }, ['budget_limit_cents', 'name']],
    ['text that cannot be stored', { description: 'a\0b', tags: 7 }, ['description', 'name', 'tags']],
    [
      'no rule across fields that are broken themselves',
      { is_unlimited: 'yes', budget_limit_cents: 5, expires_at: 'soon', name: 'x' },
      ['expires_at', 'is_unlimited'],
    ],
    [
      'unsafe fields once',
      { name: '\ud800', is_unlimited: false, nonsense: 1 },
      ['budget_limit_cents', 'name', 'nonsense'],
    ],
  ])('of a create names %s', async (_what, body, fields) => {
    const answer = await app.admin.post('/api-keys', body);
    expectProblem(answer, 'validation.failed');
    const broken = answer.body['errors'] as { field: string }[];
    expect(broken.map(({ field }) => field).toSorted()).toEqual(fields);
  });

  it('of a password comes with every other one', async () => {
    const common = { message: 'is one of the most common passwords' };
    expectInvalid(
      await app.admin.post('/users', { username: '?', password: 'password1234', role: 'king' }),
      { field: 'username', message: expect.any(String) },
      { field: 'password', ...common },
      { field: 'role', message: expect.any(String) },
    );
    expectInvalid(
      await app.admin.post('/users', { username: 'dana.scully', password: 'Dana.Scully1', role: 'king' }),
      { field: 'password', message: 'must not be built on the username' },
      { field: 'role', message: expect.any(String) },
    );
    const user = await app.user();
    const path = `/users/${user.id}/password`;
    const wrong = { field: 'current_password', message: 'must be the current password' };
    for (const current of [{}, { current_password: 'not this one' }]) {
      expectInvalid(await user.client.put(path, { new_password: 'password1234', ...current }), wrong, {
        field: 'new_password',
        ...common,
      });
    }
    expectInvalid(
      await user.client.put(path, { new_password: 'password1234', current_password: 7 }),
      { field: 'current_password', message: expect.any(String) },
      { field: 'new_password', ...common },
    );
  });

  it('that is our own fault tells the caller nothing but its request id', async () => {
    await app.database.query('ALTER TABLE roles RENAME TO roles_gone');
    const answer = await app.anonymous.post('/auth/refresh', { refresh_token: 'x' });
    const failed = await app.admin.get('/users');
    await app.database.query('ALTER TABLE roles_gone RENAME TO roles');
    expect(answer.status).toBe(401);
    const detail = 'Something went wrong on our side. The request id names this failure in our logs.';
    expectProblem(failed, 'internal.error', detail);
    expect(failed.text).not.toMatch(/roles|relation|SELECT|at /);
    expect((await app.admin.get('/users')).status).toBe(200);
  });
});

/** What the other side of a connection sends back until it ends it. */
async function exchange(port: number, bytes: string): Promise<string> {
  const socket = connect({ port, host: '127.0.0.1' });
  let answer = '';
  socket.setEncoding('utf8').on('data', (chunk: string) => (answer += chunk));
  // The other side may hang up while we still write.
  socket.on('error', () => undefined);
  socket.write(bytes);
  await once(socket, 'close');
  return answer;
}

function expectClientProblem(answer: string, code: ErrorCode): void {
  const [head = '', body = ''] = answer.split('\r\n\r\n');
  const { status, title } = ERROR_CATALOGUE[code];
  const [statusLine, ...lines] = head.split('\r\n');
  const headers = new Headers(lines.map((line) => line.split(': ') as [string, string]));
  expect(statusLine).toMatch(new RegExp(`^HTTP/1.1 ${status} `));
  expect(headers.get('content-type')).toBe('application/problem+json');
  expect(headers.get('connection')).toBe('close');
  expect(headers.get('content-length')).toBe(String(Buffer.byteLength(body)));
  expect(JSON.parse(body)).toEqual({
    type: `/errors/${code}`,
    title,
    status,
    detail: expect.stringMatching(/^[A-Z]/),
    instance: '/',
    code,
    request_id: headers.get('x-request-id'),
  });
}
