import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { rawRequest } from '../security/raw-request.js';
import { createTestDatabase, type TestDatabase } from '../support/database.js';
import { TestApp } from '../support/test-app.js';

const CONSOLE = 'https://console.example.com';

describe('a page in a browser', () => {
  let database: TestDatabase;
  let closed: TestApp;
  let listed: TestApp;
  let open: TestApp;
  beforeAll(async () => {
    database = await createTestDatabase();
    closed = await TestApp.start({ database });
    listed = await TestApp.start({
      database,
      environment: { CORS_ORIGINS: `${CONSOLE},http://localhost:5173` },
    });
    open = await TestApp.start({ database, environment: { CORS_ORIGINS: '*' } });
  });
  afterAll(async () => {
    await Promise.all([closed, listed, open].map((app) => app.stop()));
    await database.drop();
  });

  const preflight = (app: TestApp, origin: string, path = '/api/v1/api-keys') =>
    rawRequest(app.anonymous.baseUrl, 'OPTIONS', path, {
      origin,
      'access-control-request-method': 'POST',
      'access-control-request-headers': 'authorization,content-type',
    });
  const get = (app: TestApp, origin: string) =>
    rawRequest(app.anonymous.baseUrl, 'GET', '/api/v1/users', { origin });
  const allowed = ({ headers }: Awaited<ReturnType<typeof get>>) => headers['access-control-allow-origin'];

  it('may call from a listed origin, with the methods and headers of the API', async () => {
    for (const origin of [CONSOLE, 'http://localhost:5173']) {
      const answer = await preflight(listed, origin);
      expect([answer.status, allowed(answer)]).toEqual([204, origin]);
      expect(String(answer.headers['access-control-allow-methods']).split(/, ?/)).toEqual([
        'GET',
        'POST',
        'PUT',
        'DELETE',
      ]);
      expect(String(answer.headers['access-control-allow-headers']).toLowerCase()).toContain('authorization');
      expect(allowed(await get(listed, origin))).toBe(origin);
    }
  });

  it('may read the headers that a client needs', async () => {
    const exposed = String((await get(listed, CONSOLE)).headers['access-control-expose-headers']);
    for (const name of ['ETag', 'Idempotency-Replayed', 'Retry-After', 'X-Request-Id'])
      expect(exposed).toContain(name);
  });

  it.each([
    'https://evil.example',
    'https://console.example.com.evil.example',
    'https://evil-console.example.com',
    'http://console.example.com',
    'https://console.example.com:8443',
    'https://CONSOLE.example.com.',
    'null',
    '*',
    'file://',
  ])('may not call from another origin: %s', async (origin) => {
    for (const answer of [await preflight(listed, origin), await get(listed, origin)]) {
      expect(allowed(answer)).toBeUndefined();
    }
  });

  it('may not call from anywhere unless an origin is configured', async () => {
    for (const answer of [await preflight(closed, CONSOLE), await get(closed, CONSOLE)]) {
      expect(Object.keys(answer.headers).filter((name) => name.startsWith('access-control'))).toEqual([]);
    }
  });

  it('may call from everywhere where that is configured', async () => {
    expect(allowed(await get(open, 'https://anybody.example'))).toBe('*');
    expect(allowed(await preflight(open, 'null'))).toBe('*');
  });

  it('is never let in by cookies, which the API does not know', async () => {
    for (const app of [listed, open]) {
      expect((await get(app, CONSOLE)).headers['access-control-allow-credentials']).toBeUndefined();
    }
  });

  it('gains nothing from its origin where it has no credential', async () => {
    expect((await get(listed, CONSOLE)).status).toBe(401);
    expect(allowed(await preflight(listed, CONSOLE, '/api/v1/no-such-route'))).toBe(CONSOLE);
  });

  it('that caches answers keeps those of different origins apart', async () => {
    expect(String((await get(listed, CONSOLE)).headers['vary'])).toMatch(/origin/i);
    expect(String((await get(listed, 'https://evil.example')).headers['vary'])).toMatch(/origin/i);
  });
});
