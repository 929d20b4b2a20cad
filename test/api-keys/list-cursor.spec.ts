import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { API_KEY_SORTS } from '../../src/api-keys/api-key-list.js';
import type { ApiClient } from '../support/api-client.js';
import { expectInvalid } from '../support/problems.js';
import { TestApp, type TestUser } from '../support/test-app.js';

const WRONG = { field: 'cursor', message: 'must be the next_cursor of an answer of the same list' };

interface Entry {
  readonly id: number;
}

let app: TestApp;
let owner: TestUser;
beforeAll(async () => {
  app = await TestApp.start();
  owner = await app.user({ role: 'developer' });
});
afterAll(() => app.stop());

const address = (path: string, query: Record<string, string | number>) =>
  `${path}?${Object.entries(query)
    .map(([name, value]) => `${name}=${encodeURIComponent(value)}`)
    .join('&')}`;

/** The ids of a list, page after page by cursor; `between` is done after each page. */
async function walk(
  client: ApiClient,
  path: '/api-keys' | '/users',
  query: Record<string, string | number>,
  between: (seen: readonly number[]) => Promise<unknown> = async () => undefined,
): Promise<number[]> {
  const seen: number[] = [];
  let cursor: string | null | undefined;
  while (cursor !== null) {
    const { status, body } = await client.get(
      address(path, { ...query, ...(cursor === undefined ? {} : { cursor }) }),
    );
    expect([status, body['page']]).toEqual([200, cursor === undefined ? 1 : null]);
    const entries: Entry[] = body[path === '/users' ? 'users' : 'api_keys'];
    expect(entries.length).toBeLessThanOrEqual(Number(query['size']));
    seen.push(...entries.map(({ id }) => id));
    cursor = body['next_cursor'] as string | null;
    if (cursor !== null) await between(seen);
  }
  return seen;
}

describe('a list of API keys by cursor', () => {
  /** Keys of every kind of place: equal, missing and very far expiries, and last uses, among them. */
  const addKeys = async (tag: string, count: number): Promise<number[]> => {
    const rows = await app.database.query<{ id: number }>(
      `INSERT INTO api_keys (user_id, name, key_prefix, tags, expires_at)
       SELECT $1, 'Key ' || n, 'en_xxxxx', ARRAY[$2],
         CASE WHEN n % 3 > 0
           THEN (ARRAY['2090-01-01Z', '9999-12-31T23:59:59.9Z'])[n % 3]::timestamptz + n / 6 * interval '1 microsecond' END
       FROM generate_series(1, $3) AS n RETURNING id::int`,
      [owner.id, tag, count],
    );
    await app.database.query(
      `INSERT INTO api_key_totals (api_key_id, last_used_at)
       SELECT id, CASE WHEN id % 4 > 0 THEN timestamptz '2026-01-01' + id / 8 * interval '1 microsecond' END
       FROM unnest($1::bigint[]) AS id WHERE id % 5 > 0`,
      [rows.map(({ id }) => id)],
    );
    return rows.map(({ id }) => id);
  };

  it.each(API_KEY_SORTS)(
    'sorted by %s shows every key once, in the order of one long page, with nulls in their place',
    async (sort) => {
      const ids = await addKeys(`walk${sort}`, 31);
      const query = { tag: `walk${sort}`, sort };
      const all = (await app.admin.get(address('/api-keys', { ...query, size: 100 }))).body;
      const inOrder = all['api_keys'].map(({ id }: Entry) => id);
      expect(all['next_cursor']).toBeNull();
      expect(inOrder.toSorted((a: number, b: number) => a - b)).toEqual(ids);
      expect(await walk(app.admin, '/api-keys', { ...query, size: 4 })).toEqual(inOrder);
      const field = sort.replace('-', '');
      const [first, last] = [all['api_keys'][0][field], all['api_keys'].at(-1)[field]];
      if (field === 'expires_at') expect(sort.startsWith('-') ? first : last).toBeNull();
      if (field === 'last_used_at') expect(sort.startsWith('-') ? last : first).toBeNull();
      const pages = [];
      for (let page = 1; page <= 8; page += 1)
        pages.push(
          ...(await app.admin.get(address('/api-keys', { ...query, size: 4, page }))).body['api_keys'],
        );
      expect(pages.map(({ id }: Entry) => id)).toEqual(inOrder);
    },
  );

  it.each(API_KEY_SORTS)(
    'sorted by %s repeats and skips none that stays, while others are made and deleted',
    async (sort) => {
      const tag = `busy${sort}`;
      const staying = new Set(await addKeys(tag, 24));
      const seen = await walk(app.admin, '/api-keys', { tag, sort, size: 3 }, async (shown) => {
        // What was shown last is deleted, and others are made before and after it in every order.
        const last = shown.at(-1);
        await app.admin.delete(`/api-keys/${String(last)}`);
        await addKeys(shown.length > 40 ? 'another' : tag, 1);
      });
      expect(new Set(seen).size).toBe(seen.length);
      for (const id of staying) expect(seen).toContain(id);
    },
  );

  it.each<Record<string, string>>([
    {},
    { is_active: 'true' },
    { state: 'active' },
    { expires_before: '2091-01-01T00:00:00Z' },
    { search: 'key' },
    { search: 'Key 1', state: 'active', sort: 'expires_at' },
  ])('narrowed by %j shows the same as pages by number, and the total it began with', async (filter) => {
    const query = { ...filter, user_id: owner.id, size: 7 };
    const first = (await app.admin.get(address('/api-keys', query))).body;
    const numbered: number[] = [];
    for (let page = 1; numbered.length < first['total']; page += 1)
      numbered.push(
        ...(await app.admin.get(address('/api-keys', { ...query, page }))).body['api_keys'].map(
          ({ id }: Entry) => id,
        ),
      );
    expect(await walk(app.admin, '/api-keys', query)).toEqual(numbered);
    const second = await app.admin.get(address('/api-keys', { ...query, cursor: first['next_cursor'] }));
    expect(second.body).toMatchObject({ total: first['total'], total_is_exact: first['total_is_exact'] });
  });

  it('shows a caller without permission their own keys alone, no matter who made the cursor', async () => {
    const mine = await app.user({ role: 'developer' });
    const keys = [await app.apiKey(mine.client), await app.apiKey(mine.client)];
    const of = (client: ApiClient, query: Record<string, string | number>) =>
      client.get(address('/api-keys', { size: 1, ...query }));
    const { next_cursor: cursor } = (await of(app.admin, {})).body;
    await app.admin.put(`/users/${mine.id}`, { role: 'user' });
    expectInvalid(await of(mine.client, { cursor }), WRONG);
    const own = (await of(mine.client, {})).body;
    const next = (await of(mine.client, { cursor: own['next_cursor'] })).body;
    expect([own, next].flatMap(({ api_keys }) => api_keys.map(({ id }: Entry) => id))).toEqual(
      keys.map(({ id }) => id).toReversed(),
    );
    expect(next['next_cursor']).toBeNull();
  });
});

describe('a list of users by cursor', () => {
  it('repeats and skips none that stays, while others are made and deleted', async () => {
    const staying = await Promise.all(Array.from({ length: 5 }, () => app.user()));
    const leaving = await app.user();
    const seen = await walk(app.admin, '/users', { size: 2 }, async (shown) => {
      if (shown.length === 2) await app.admin.delete(`/users/${leaving.id}`);
      if (shown.length < 6) await app.user();
    });
    expect(seen).toEqual(seen.toSorted((a, b) => a - b));
    expect(new Set(seen).size).toBe(seen.length);
    for (const { id } of staying) expect(seen).toContain(id);
    expect(seen).not.toContain(leaving.id);
  });
});

describe('a cursor', () => {
  it('is refused by every other list: other filter, other order, other kind', async () => {
    await Promise.all([app.apiKey(owner.client), app.apiKey(owner.client)]);
    const query = { size: 1, user_id: owner.id, is_active: 'true' };
    const { next_cursor: cursor } = (await app.admin.get(address('/api-keys', query))).body;
    expect(cursor).toMatch(/^[\w-]+$/);
    expect((await app.admin.get(address('/api-keys', { ...query, size: 5, cursor }))).status).toBe(200);
    const others: [path: string, query: Record<string, string | number>][] = [
      ['/api-keys', { size: 1 }],
      ['/api-keys', { size: 1, user_id: owner.id }],
      ['/api-keys', { ...query, is_active: 'false' }],
      ['/api-keys', { ...query, state: 'active' }],
      ['/api-keys', { ...query, search: 'a' }],
      ['/api-keys', { ...query, tag: 'a' }],
      ['/api-keys', { ...query, expires_before: '2090-01-01T00:00:00Z' }],
      ['/api-keys', { ...query, sort: 'created_at' }],
      ['/users', { size: 1 }],
    ];
    for (const [path, other] of others)
      expectInvalid(await app.admin.get(address(path, { ...other, cursor })), WRONG);
    const users = (await app.admin.get('/users?size=1')).body['next_cursor'];
    expectInvalid(await app.admin.get(address('/api-keys', { size: 1, cursor: users })), WRONG);
  });

  it.each(['/api-keys', '/users'])('of %s that we did not make is 422, never a failure', async (path) => {
    const text = (await app.admin.get(`${path}?size=1`)).body['next_cursor'];
    const [list, ...rest] = JSON.parse(Buffer.from(text, 'base64url').toString()) as unknown[];
    const made = (...content: unknown[]) => Buffer.from(JSON.stringify(content)).toString('base64url');
    expect((await app.admin.get(address(path, { cursor: made(list, ...rest) }))).status).toBe(200);
    const forged = [
      'x',
      '%00',
      'null',
      made(),
      made(list),
      made('other', ...rest),
      made(list, '1', null, 1, true),
      made(list, -1, null, 1, true),
      made(list, 1.5, null, 1, true),
      made(list, 2 ** 53, null, 1, true),
      made(list, 1, 'now', 1, true),
      made(list, 1, "1'; --", 1, true),
      made(list, 1, '9'.repeat(400), 1, true).slice(0, 500),
      made(list, 1, null, -1, true),
      made(list, 1, null, '1', true),
      made(list, 1, null, 1, true, 1),
    ];
    for (const cursor of forged) expectInvalid(await app.admin.get(address(path, { cursor })), WRONG);
    for (const value of ['99999999999', '-99999999999.999999', 'Infinity', '-Infinity'])
      expect((await app.admin.get(address(path, { cursor: made(list, 1, value, 1, true) }))).status).toBe(
        200,
      );
    expectInvalid(await app.admin.get(`${path}?cursor=`), {
      field: 'cursor',
      message: 'must be 1 to 500 characters long',
    });
    expectInvalid(await app.admin.get(address(path, { cursor: text, page: 2 })), {
      field: 'page',
      message: 'must not be sent with a cursor',
    });
  });
});
