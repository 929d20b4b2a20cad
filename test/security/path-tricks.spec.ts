import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { TestApp, type TestApiKey } from '../support/test-app.js';
import { databaseContents } from './database-contents.js';
import { rawRequest } from './raw-request.js';
import { MEMBER_PERMISSIONS, type ProtectedRoute, protectedRoutes, validBody, withId } from './routes.js';

/** Other ways to write a path, each of which some server somewhere takes for the same. */
const TRICKS: Readonly<Record<string, (path: string) => string>> = {
  'as it is': (path) => path,
  'a trailing slash': (path) => `${path}/`,
  'a doubled slash at the beginning': (path) => `/${path}`,
  'a doubled slash inside': (path) => path.replace('/v1/', '/v1//'),
  'a dot segment': (path) => path.replace('/v1/', '/v1/./'),
  'a way up and down again': (path) => path.replace('/v1/', '/v1/x/../'),
  'a way out of a public route': (path) => `/health/live/../..${path}`,
  'an encoded dot segment': (path) => path.replace('/v1/', '/v1/%2e/'),
  'an encoded way up': (path) => path.replace('/v1/', '/v1/x/%2e%2e/'),
  'an encoded slash': (path) => path.replace('/v1/', '/v1%2f'),
  'a doubly encoded slash': (path) => path.replace('/v1/', '/v1%252f'),
  'an encoded letter': (path) => path.replace('/v1/', '/%761/'),
  'a path parameter': (path) => `${path};a=b`,
  'a path parameter inside': (path) => path.replace('/v1/', '/v1;a=b/'),
  'a public suffix': (path) => `${path};/health/live`,
  'a file ending': (path) => `${path}.json`,
  'another case': (path) => path.toUpperCase(),
  'a fragment': (path) => `${path}%23/health/live`,
  'a NUL': (path) => `${path}%00`,
  'a space': (path) => `${path}%20`,
  'a backslash': (path) => path.replace('/v1/', '/v1%5c'),
  'the absolute form': (path) => `http://localhost${path}`,
  'an empty query': (path) => `${path}?`,
  'a query that overrides': (path) => `${path}?_method=GET&method=GET&access_token=x&api_key=x`,
};

const OVERRIDES: Record<string, string> = {
  'x-http-method-override': 'GET',
  'x-http-method': 'GET',
  'x-method-override': 'GET',
  'x-original-url': '/health/live',
  'x-rewrite-url': '/health/live',
  'x-forwarded-prefix': '/health',
  'x-forwarded-host': 'localhost',
  'x-original-method': 'GET',
};

describe('no spelling of a path gains anything', { timeout: 120_000 }, () => {
  let app: TestApp;
  let routes: ProtectedRoute[];
  let key: TestApiKey;
  beforeAll(async () => {
    app = await TestApp.start();
    routes = protectedRoutes(app.app);
    key = await app.apiKey();
  });
  afterAll(() => app.stop());

  function send(method: string, path: string, route: ProtectedRoute, headers: Record<string, string>) {
    const body = JSON.stringify(validBody(route.method, route.action));
    const json: Record<string, string> = body === undefined ? {} : { 'content-type': 'application/json' };
    return rawRequest(app.anonymous.baseUrl, method, path, { ...json, ...headers }, body);
  }

  it.each(Object.keys(TRICKS))('to a caller without a credential: %s', async (trick) => {
    const before = await databaseContents(app.database);
    const answers = await Promise.all(
      routes.map(async (route) => {
        const path = TRICKS[trick]!(withId(route.url, key.id));
        const { status } = await send(route.method, path, route, {});
        return `${route.method} ${path}: ${status}`;
      }),
    );
    expect(answers.filter((answer) => !/: 4\d\d$/.test(answer))).toEqual([]);
    expect(await databaseContents(app.database)).toEqual(before);
  });

  it.each(Object.keys(TRICKS))('to a caller who lacks the permission: %s', async (trick) => {
    const stranger = await app.user();
    const token = await strangerToken(stranger.username);
    const guarded = routes.filter(
      ({ access, url }) =>
        (access.kind.startsWith('permission') || url.includes(':id')) &&
        !(access.kind === 'permission_in_scope' && MEMBER_PERMISSIONS.includes(access.permission)),
    );
    const answers = await Promise.all(
      guarded.map(async (route) => {
        const path = TRICKS[trick]!(withId(route.url, key.id));
        const { status } = await send(route.method, path, route, { authorization: `Bearer ${token}` });
        return `${route.method} ${path}: ${status}`;
      }),
    );
    expect(answers.filter((answer) => !/: 4\d\d$/.test(answer))).toEqual([]);
  });

  it('to a caller without a credential: another method, or headers that claim one', async () => {
    const methods = ['HEAD', 'OPTIONS', 'PATCH', 'TRACE', 'PROPFIND', 'QUERY', 'LINK'];
    for (const route of routes) {
      const path = withId(route.url, key.id);
      const answers = await Promise.all([
        ...methods.map((method) => send(method, path, route, {})),
        ...Object.entries(OVERRIDES).map(([name, value]) =>
          send(route.method, path, route, { [name]: value }),
        ),
        send(route.method, path, route, OVERRIDES),
      ]);
      const statuses = answers.map(({ status }) => status);
      expect([path, statuses.filter((status) => status < 400 || status >= 500)]).toEqual([path, []]);
    }
  });

  it('and HEAD of a protected route says no more than GET would', async () => {
    for (const { url } of routes.filter(({ method }) => method === 'GET')) {
      const path = withId(url, key.id).replace('/api/v1', '');
      const [head, get] = [await app.anonymous.send('HEAD', path), await app.anonymous.get(path)];
      expect([path, head.status, head.text]).toEqual([path, get.status, '']);
    }
  });

  it('a trailing slash is accepted on every route', async () => {
    const stranger = await app.user();
    for (const { url } of routes.filter(({ method }) => method === 'GET')) {
      const path = withId(url, key.id).replace('/api/v1', '');
      const [plain, slashed] = [await stranger.client.get(path), await stranger.client.get(`${path}/`)];
      expect([path, slashed.status]).toEqual([path, plain.status]);
    }
    expect((await app.admin.post('/api-keys/', { name: 'By a trailing slash' })).status).toBe(201);
  });

  async function strangerToken(username: string): Promise<string> {
    const { body } = await app.anonymous.post('/auth/login', {
      username,
      password: 'a long user passphrase',
    });
    return body['access_token'] as string;
  }
});
