import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { auditRowsOf } from '../support/audit-trail.js';
import { ADMIN, TestApp, type TestApiKey } from '../support/test-app.js';

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;

describe('a request', () => {
  let app: TestApp;
  let key: TestApiKey;
  beforeAll(async () => {
    app = await TestApp.start();
    key = await app.apiKey();
  });
  afterAll(() => app.stop());

  const idOf = async (given: string) => {
    const answer = await app.admin.get('/users', { 'x-request-id': given });
    return answer.headers.get('x-request-id');
  };

  it.each(['7', 'abc-DEF_1.2:3', 'x'.repeat(128), 'f47ac10b-58cc-4372-a567-0e02b2c3d479'])(
    'keeps the id that its caller gave it: %s',
    async (given) => {
      expect(await idOf(given)).toBe(given);
    },
  );

  it.each([
    '',
    ' ',
    'a b',
    'x'.repeat(129),
    'a/b',
    '<script>',
    'é',
    `a'b`,
    'a,b',
    '${x}',
    'a\tb',
    `en_${'a'.repeat(38)}`,
  ])('is given another id than one that is not well formed: %j', async (given) => {
    expect(await idOf(given)).toMatch(UUID);
  });

  it('is given an id of its own when it has none', async () => {
    const ids = await Promise.all(
      [1, 2, 3].map(async () => (await app.anonymous.get('//health/live')).headers.get('x-request-id')),
    );
    expect(new Set(ids).size).toBe(3);
    for (const id of ids) expect(id).toMatch(UUID);
  });

  it('is named by one id in its answer, its problem and its audit row', async () => {
    const answer = await app.anonymous.post(
      '/auth/login',
      { username: 'nobody', password: 'x' },
      { 'x-request-id': 'the-id-of-this-request' },
    );
    expect(answer.body['request_id']).toBe('the-id-of-this-request');
    const rows = await auditRowsOf(app.database, answer);
    expect(rows.map(({ request_id: id }) => id)).toEqual(['the-id-of-this-request']);
  });

  it('by HEAD is answered like GET, without a body', async () => {
    for (const path of [
      '/users',
      '/users/1',
      `/api-keys/${key.id}`,
      '/audit-logs',
      '//health/ready',
      '//metrics',
    ]) {
      const [get, head] = [await app.admin.get(path), await app.admin.send('HEAD', path)];
      expect([path, head.status, head.text]).toEqual([path, get.status, '']);
      expect(head.headers.get('content-type')).toBe(get.headers.get('content-type'));
    }
  });

  it('for a secret is answered with what forbids to store it', async () => {
    const answers = [
      await app.admin.post('/api-keys', { name: 'With a secret' }),
      await app.admin.post(`/api-keys/${key.id}/regenerate`),
      await app.anonymous.post('/auth/login', ADMIN),
    ];
    const refreshed = { refresh_token: answers[2]!.body['refresh_token'] };
    answers.push(await app.anonymous.post('/auth/refresh', refreshed));
    for (const { status, headers } of answers) {
      expect([status < 300, headers.get('cache-control')]).toEqual([true, 'no-store']);
    }
  });

  it('is answered without telling which software answered it', async () => {
    const { headers } = await app.anonymous.get('//health/live');
    expect([headers.get('server'), headers.get('x-powered-by')]).toEqual([null, null]);
  });

  it('on the same connection as others is kept apart from them', async () => {
    const names = Array.from({ length: 20 }, (_, index) => `id-${index}`);
    const answers = await Promise.all(
      names.map((name) =>
        app.anonymous.post('/auth/refresh', { refresh_token: name }, { 'x-request-id': name }),
      ),
    );
    expect(answers.map(({ body }) => body['request_id'])).toEqual(names);
  });
});
