import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { rawRequest } from '../security/raw-request.js';
import { ERROR_CATALOGUE, type ErrorCode } from '../../src/common/error-catalogue.js';
import type { ApiAnswer } from '../support/api-client.js';
import { expectProblem } from '../support/problems.js';
import { TestApp } from '../support/test-app.js';

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
    'the root': { code: 'request.route_not_found', instance: '/', cause: () => app.anonymous.get('//') },
    'a method that the route does not have': {
      code: 'request.method_not_allowed',
      instance: '/api/v1/users',
      cause: () => app.admin.send('PATCH', '/users', { body: {} }),
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

  it.each([
    ['/api/v1/api-keys/%zz', 'request.malformed'],
    ['/api/v1/%', 'request.malformed'],
    ['/%ff', 'request.malformed'],
    [`/api/v1/api-keys/${'1'.repeat(300)}`, 'request.uri_too_long'],
    [`/errors/${'x'.repeat(300)}`, 'request.uri_too_long'],
  ] as const)('is one too where the address cannot be read: %s', async (path, code) => {
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
      instance: path,
      code,
      request_id: headers['x-request-id'],
    });
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
