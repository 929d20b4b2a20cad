import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { ApiClient } from '../support/api-client.js';
import { apiKeyBody, ownerOfKeys } from '../support/api-keys.js';
import { expectOneAuditRow } from '../support/audit-trail.js';
import { expectInvalid, expectProblem } from '../support/problems.js';
import { TestApp, type TestUser } from '../support/test-app.js';

const MESSAGE = {
  page: 'must be a whole number from 1 to 1000000000',
  size: 'must be a whole number from 1 to 100',
  user_id: `must be a whole number from 1 to ${Number.MAX_SAFE_INTEGER}`,
  is_active: 'must be true or false',
  search: 'must be 0 to 500 characters long',
  tag: 'must be 1 to 200 characters long',
  unknown: 'is not a known property',
  unstorable: 'must not hold NUL characters or lone surrogates',
};

describe('GET /api-keys', () => {
  let app: TestApp;
  beforeAll(async () => {
    app = await TestApp.start();
  });
  afterAll(() => app.stop());

  /** The names a list shows, in its order, and its total. */
  const found = async (client: ApiClient, query: Record<string, string | number>) => {
    const parameters = Object.entries(query).map(([name, value]) => `${name}=${encodeURIComponent(value)}`);
    const { status, body } = await client.get(`/api-keys?${parameters.join('&')}`);
    expect(status).toBe(200);
    return { names: body['api_keys'].map(({ name }: { name: string }) => name), total: body['total'] };
  };

  describe('pages', () => {
    let owner: TestUser;
    beforeAll(async () => {
      owner = await app.user({ role: 'developer' });
      for (let n = 1; n <= 12; n += 1) {
        const { id } = await app.apiKey(owner.client, { name: `Key ${n}` });
        if (n % 4 === 0) await app.admin.post(`/api-keys/${id}/deactivate`);
      }
    });
    const names = (...numbers: number[]) => numbers.map((n) => `Key ${n}`);

    it('shows ten whole keys, newest first by default', async () => {
      const { status, body } = await owner.client.get(`/api-keys?user_id=${owner.id}`);
      expect(status).toBe(200);
      expect(body).toStrictEqual({
        api_keys: names(12, 11, 10, 9, 8, 7, 6, 5, 4, 3).map((name) =>
          apiKeyBody({
            name,
            user_id: owner.id,
            ...(/^Key (4|8|12)$/.test(name) ? { is_active: false, state: 'inactive' } : {}),
          }),
        ),
        total: 12,
        total_is_exact: true,
        page: 1,
        size: 10,
        next_cursor: expect.any(String),
      });
    });

    it.each([
      [{ page: 2 }, names(2, 1)],
      [{ page: 2, size: 5 }, names(7, 6, 5, 4, 3)],
      [{ page: 12, size: 1 }, names(1)],
      [{ page: 1, size: 100 }, names(12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1)],
      [{ page: 3 }, []],
      [{ page: 1_000_000_000, size: 100 }, []],
    ])('%j shows its part of all, and the same total', async (query, expected) => {
      const shown = await found(owner.client, { ...query, user_id: owner.id });
      expect(shown).toEqual({ names: expected, total: 12 });
      const { body } = await owner.client.get('/api-keys?page=2&size=3');
      expect(body).toMatchObject({ page: 2, size: 3 });
    });

    it('filters by state, together with the owner', async () => {
      const user_id = owner.id;
      expect(await found(app.admin, { user_id, is_active: 'false' })).toEqual({
        names: names(12, 8, 4),
        total: 3,
      });
      expect(await found(app.admin, { user_id, is_active: 'true', size: 2, page: 2 })).toEqual({
        names: names(9, 7),
        total: 9,
      });
      expect(await found(app.admin, { user_id, is_active: 'false', search: 'key 1' })).toEqual({
        names: names(12),
        total: 1,
      });
    });
  });

  describe('search and tag', () => {
    const KEYS = [
      { name: '100% sure', description: null, tags: ['a%'] },
      { name: '100 sure', description: 'snake_case', tags: ['prod', 'eu'] },
      { name: 'snakeXcase', description: String.raw`back\slash`, tags: ['PROD'] },
      { name: 'ÄÖÜ straße', description: '日本語のキー', tags: ['日本'] },
      { name: `'; DROP TABLE api_keys; --`, description: '[a-z]+ "quoted" * ?', tags: [`{"x"}`] },
    ];
    let owner: TestUser;
    beforeAll(async () => {
      owner = await app.user({ role: 'developer' });
      for (const fields of KEYS) await app.apiKey(owner.client, fields);
    });

    it.each([
      ['sure', ['100 sure', '100% sure']],
      ['SURE', ['100 sure', '100% sure']],
      ['%', ['100% sure']],
      ['0%', ['100% sure']],
      ['_', [`'; DROP TABLE api_keys; --`, '100 sure']],
      ['snake_case', ['100 sure']],
      ['SNAKE', ['snakeXcase', '100 sure']],
      ['\\', ['snakeXcase']],
      ['k\\S', ['snakeXcase']],
      ['\\%', []],
      ['äöü STRASSE', ['ÄÖÜ straße']],
      ['äöü STRAßE', ['ÄÖÜ straße']],
      ['本語', ['ÄÖÜ straße']],
      [`'; DROP`, [`'; DROP TABLE api_keys; --`]],
      ['[a-z]+', [`'; DROP TABLE api_keys; --`]],
      ['*', [`'; DROP TABLE api_keys; --`]],
      ['nowhere to be found', []],
      ['x'.repeat(500), []],
      ['', ["'; DROP TABLE api_keys; --", 'ÄÖÜ straße', 'snakeXcase', '100 sure', '100% sure']],
    ])(
      'search=%s finds it as a plain, case-insensitive part of name or description',
      async (search, expected) => {
        const shown = await found(owner.client, { search, user_id: owner.id });
        expect(shown).toEqual({ names: expected, total: expected.length });
      },
    );

    it.each([
      ['prod', ['100 sure']],
      ['PROD', ['snakeXcase']],
      ['pro', []],
      ['a%', ['100% sure']],
      ['%', []],
      ['日本', ['ÄÖÜ straße']],
      [`{"x"}`, [`'; DROP TABLE api_keys; --`]],
    ])('tag=%s finds it as a whole tag', async (tag, expected) => {
      const shown = await found(owner.client, { tag, user_id: owner.id });
      expect(shown).toEqual({ names: expected, total: expected.length });
    });

    it('narrow each other, and the page after them', async () => {
      expect(await found(owner.client, { search: 'sure', tag: 'eu' })).toEqual({
        names: ['100 sure'],
        total: 1,
      });
      expect(await found(owner.client, { search: 'sure', size: 1, page: 2, user_id: owner.id })).toEqual({
        names: ['100% sure'],
        total: 2,
      });
    });
  });

  describe('whose keys', () => {
    it('are all keys for a reader, and those of one user when asked', async () => {
      const { owner } = await ownerOfKeys(app, 2, { name: 'Theirs' });
      const reader = await app.user({ permissions: ['platform:api-keys:read'] });
      const all = await app.database.query<{ count: number }>('SELECT count(*)::int FROM api_keys');
      expect((await found(reader.client, {})).total).toBe(all[0]?.count);
      expect(await found(reader.client, { user_id: owner.id })).toEqual({
        names: ['Theirs', 'Theirs'],
        total: 2,
      });
      expect(await found(reader.client, { user_id: reader.id })).toEqual({ names: [], total: 0 });
      expect(await found(reader.client, { user_id: 999_999 })).toEqual({ names: [], total: 0 });
    });

    it('are their own for a user without permission who names nobody (fault 11 of the seed)', async () => {
      const { owner } = await ownerOfKeys(app, 2, { name: 'Mine' });
      const { owner: other } = await ownerOfKeys(app, 1, { name: 'Not mine' });
      expect(await found(owner.client, {})).toEqual({ names: ['Mine', 'Mine'], total: 2 });
      expect(await found(owner.client, { user_id: owner.id })).toEqual({ names: ['Mine', 'Mine'], total: 2 });
      expect(await found(owner.client, { search: 'mine' })).toEqual({ names: ['Mine', 'Mine'], total: 2 });
      for (const userId of [other.id, 999_999]) {
        expectProblem(await owner.client.get(`/api-keys?user_id=${userId}`), 'permission.denied');
      }
    });

    it('are nobody’s for an API key without the scope: ownership counts only with a session', async () => {
      const { owner, key } = await ownerOfKeys(app, 1, { scopes: ['platform:api-keys:read'] });
      const client = app.anonymous.withApiKey(key.secret);
      expectProblem(await client.get('/api-keys'), 'permission.denied');
      expectProblem(await client.get(`/api-keys?user_id=${owner.id}`), 'permission.denied');
    });

    it('are those of everyone at once when a permission comes, and their own again when it goes', async () => {
      const { owner } = await ownerOfKeys(app, 1);
      const everyone = (await found(app.admin, {})).total;
      await app.admin.put(`/users/${owner.id}`, { permissions: ['platform:*:read'] });
      expect((await found(owner.client, {})).total).toBe(everyone);
      await app.admin.put(`/users/${owner.id}`, { permissions: [] });
      expect((await found(owner.client, {})).total).toBe(1);
    });
  });

  it('leaves one audit row with the page and the filters that counted', async () => {
    const { owner } = await ownerOfKeys(app, 1);
    const none = { user_id: null, is_active: null, search: null, tag: null };
    const query = '?page=2&size=3&is_active=true&search=a&tag=b';
    await expectOneAuditRow(app.database, await app.admin.get(`/api-keys${query}`), {
      action: 'list_api_keys',
      resource_type: 'api_key',
      resource_id: null,
      details: { page: 2, size: 3, filters: { user_id: null, is_active: true, search: 'a', tag: 'b' } },
    });
    await expectOneAuditRow(app.database, await app.admin.get('/api-keys'), {
      details: { page: 1, size: 10, filters: none },
    });
    await expectOneAuditRow(app.database, await owner.client.get('/api-keys'), {
      user_id: owner.id,
      details: { page: 1, size: 10, filters: { ...none, user_id: owner.id } },
    });
  });

  it.each([
    ...['0', '-1', '1.5', 'x', '', '1000000001', '1e3', '99999999999999999999'].map(
      (value) => ['page', value] as const,
    ),
    ...['0', '-1', '101', '1.5', 'x', '', 'null'].map((value) => ['size', value] as const),
    ...['0', '-1', '1.5', 'x', '', 'me', '9007199254740992'].map((value) => ['user_id', value] as const),
    ...['1', '0', 'TRUE', 'yes', '', 'null'].map((value) => ['is_active', value] as const),
    ...['x'.repeat(501)].map((value) => ['search', value] as const),
    ...['', 'x'.repeat(201)].map((value) => ['tag', value] as const),
  ])('refuses %s=%s', async (field, value) => {
    const answer = await app.admin.get(`/api-keys?${field}=${value}`);
    expectInvalid(answer, { field, message: MESSAGE[field] });
  });

  it('refuses unknown parameters, repeated ones, objects and text that cannot be stored', async () => {
    for (const [query, field, message] of [
      ['limit=5', 'limit', MESSAGE.unknown],
      ['search[a]=b', 'search[a]', MESSAGE.unknown],
      ['page=1&page=2', 'page', MESSAGE.page],
      ['search=a&search=b', 'search', 'must be a string'],
      ['search=a%00', 'search', MESSAGE.unstorable],
      ['tag=%00', 'tag', MESSAGE.unstorable],
    ] as const) {
      expectInvalid(await app.admin.get(`/api-keys?${query}`), { field, message });
    }
    for (const query of ['search=%ED%A0%80', 'search=%', 'search=%E0%A4%A', '%00=1', '&&&', '?']) {
      expect((await app.admin.get(`/api-keys?${query}`)).status).toBeLessThan(500);
    }
  });
});
