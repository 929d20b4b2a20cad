import { createHmac } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { checksumOf, generateSecret } from '../../src/api-keys/secret-format.js';
import { isAccepted, storedKey } from '../support/api-keys.js';
import { createTestDatabase, type TestDatabase } from '../support/database.js';
import { expectProblem } from '../support/problems.js';
import { TcpProxy } from '../support/tcp-proxy.js';
import { type TestApiKey, TestApp } from '../support/test-app.js';

const PEPPER = 'pepper_of_the_tests_long_enough_for_them';
const NEXT_PEPPER = 'the_next_pepper_of_the_tests_also_long_enough';

describe('the secret of a key', () => {
  let app: TestApp;
  let database: TestDatabase;
  let proxy: TcpProxy;
  beforeAll(async () => {
    database = await createTestDatabase();
    proxy = await TcpProxy.start(database.url);
    app = await TestApp.start({ database, environment: { DATABASE_URL: proxy.urlOf(database.url) } });
  });
  afterAll(async () => {
    await app.stop();
    proxy.stop();
    await database.drop();
  });

  it('is stored as its keyed digest alone', async () => {
    const { id, secret } = await app.apiKey();
    const digest = createHmac('sha256', PEPPER).update(secret).digest('hex');
    expect(await storedKey(app, id)).toMatchObject({ secrets: [{ digest, retires_at: null }] });
    expect(digest).toHaveLength(64);
  });

  it('stands in no table in clear, whatever was done with it', async () => {
    const key = await app.apiKey(app.admin, { scopes: ['platform:api-keys:read'] });
    const path = `/api-keys/${key.id}`;
    const byKey = app.anonymous.withApiKey(key.secret);
    const claim = { 'idempotency-key': 'marked' };
    const regenerated = await app.admin.post(`${path}/regenerate`, { grace_period_seconds: 60 }, claim);
    await app.admin.post(`${path}/regenerate`, { grace_period_seconds: 60 }, claim);
    await byKey.get(`${path}/${key.secret}`);
    await byKey.get(`/api-keys?search=${key.secret}`);
    await byKey.get(path, { 'user-agent': key.secret, 'x-request-id': key.secret });
    await app.anonymous.post('/auth/login', { username: key.secret, password: key.secret });
    await byKey.delete(path);
    await app.admin.delete(path);

    const tables = await app.database.query<{ name: string }>(
      `SELECT relname AS name FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace`,
    );
    expect(tables.map(({ name }) => name)).toEqual(expect.arrayContaining(['api_keys', 'idempotency_keys']));
    for (const secret of [key.secret, String(regenerated.body['secret_key'])]) {
      const shapes = [
        secret,
        secret.slice(3, 35),
        Buffer.from(secret).toString('hex'),
        Buffer.from(secret).toString('base64'),
      ];
      for (const { name } of tables) {
        const rows = await app.database.query(
          `SELECT 1 FROM ${name} AS t WHERE EXISTS (SELECT FROM unnest($1::text[]) AS s WHERE strpos(t::text, s) > 0)`,
          [shapes],
        );
        expect({ name, rows }).toEqual({ name, rows: [] });
      }
    }
  });

  it('is found by its digest, so that two keys with the same prefix both work (fault 9 of the seed)', async () => {
    const [first, second] = [await app.apiKey(), await app.apiKey(app.admin, { scopes: ['platform:*'] })];
    const twin = twinOf(first.secret);
    const digest = createHmac('sha256', PEPPER).update(twin).digest();
    await app.database.query('UPDATE api_key_secrets SET digest = $1 WHERE api_key_id = $2', [
      digest,
      second.id,
    ]);
    await app.database.query('UPDATE api_keys SET key_prefix = $1 WHERE id = $2', [
      twin.slice(0, 8),
      second.id,
    ]);
    expect(twin.slice(0, 8)).toBe(first.secret.slice(0, 8));
    const permissions = async (secret: string) =>
      (await app.anonymous.withApiKey(secret).get('/auth/me')).body['permissions'];
    expect(await permissions(first.secret)).toEqual([]);
    expect(await permissions(twin)).toEqual(['platform:*']);
    await app.admin.delete(`/api-keys/${first.id}`);
    expect([await isAccepted(app, first.secret), await isAccepted(app, twin)]).toEqual([false, true]);
  });

  it('opens nothing but itself: none that shares its beginning or end is accepted', async () => {
    const { secret } = await app.apiKey();
    expect(await isAccepted(app, secret)).toBe(true);
    for (let length = 3; length < 35; length += 1) {
      const body = secret.slice(0, length) + generateSecret('en_').slice(length, 35);
      const ending = `en_${generateSecret('en_').slice(3, length)}${secret.slice(length, 35)}`;
      for (const forged of [body, ending].filter((text) => text !== secret.slice(0, 35))) {
        expect(await isAccepted(app, forged + checksumOf(forged))).toBe(false);
      }
    }
  });

  it('in a wrong shape or with a wrong checksum is refused without the database, which any other needs', async () => {
    const { secret } = await app.apiKey();
    proxy.refuse();
    for (const wrong of misshapen(secret)) {
      expectProblem(await app.anonymous.withApiKey(wrong).get('/auth/me'), 'auth.credential_invalid');
    }
    const answer = await app.anonymous.withApiKey(secret).get('/auth/me');
    expectProblem(answer, 'service.unavailable');
    expect(answer.headers.get('retry-after')).toBe('1');
    await proxy.pass();
    expect(await isAccepted(app, secret)).toBe(true);
  });
});

describe('a change of prefix or pepper', () => {
  let app: TestApp;
  let old: TestApiKey;
  beforeAll(async () => {
    app = await TestApp.start();
    old = await app.apiKey();
  });
  afterAll(() => app.stop());

  it('ends no secret while the former prefix and pepper are still configured', async () => {
    const rotated = await TestApp.start({
      database: app.database,
      environment: {
        API_KEY_PREFIX: 'lk_live_',
        API_KEY_FORMER_PREFIXES: 'en_',
        API_KEY_PEPPERS: `2:${NEXT_PEPPER},1:${PEPPER}`,
      },
    });
    const fresh = await rotated.apiKey();
    expect(fresh.secret).toMatch(/^lk_live_[0-9A-Za-z]{38}$/);
    expect(fresh.body['key_prefix']).toBe('lk_live_');
    for (const secret of [old.secret, fresh.secret]) {
      expect(await isAccepted(rotated, secret)).toBe(true);
      expect((await rotated.anonymous.withAccessToken(secret).get('/auth/me')).status).toBe(200);
    }
    const versions = await app.database.query(
      'SELECT api_key_id::int AS id, pepper_version AS version FROM api_key_secrets ORDER BY 1',
    );
    expect(versions).toEqual([
      { id: old.id, version: 1 },
      { id: fresh.id, version: 2 },
    ]);
    // An instance that was not told yet knows neither the new prefix nor the new pepper.
    expect(await isAccepted(app, fresh.secret)).toBe(false);

    const renewed = await rotated.admin.post(`/api-keys/${old.id}/regenerate`, { grace_period_seconds: 60 });
    expect(renewed.body['secret_key']).toMatch(/^lk_live_/);
    expect(await isAccepted(rotated, old.secret)).toBe(true);
    await rotated.stop();
  });

  it.each([
    ['pepper', { API_KEY_PEPPERS: `2:${NEXT_PEPPER}` }],
    ['prefix', { API_KEY_PREFIX: 'lk_' }],
  ])('ends the secrets made under a former %s that is configured no more', async (_name, environment) => {
    const rotated = await TestApp.start({ database: app.database, environment });
    expect([await isAccepted(app, old.secret), await isAccepted(rotated, old.secret)]).toEqual([true, false]);
    await rotated.stop();
  });
});

/** Another secret, in the right shape, with the same first 8 characters. */
function twinOf(secret: string): string {
  const body = secret.slice(0, 8) + generateSecret('en_').slice(8, 35);
  return body + checksumOf(body);
}

/** Strings that resemble a secret and cannot be one. */
function misshapen(secret: string): string[] {
  const swapped = (index: number) =>
    secret.slice(0, index) + (secret[index] === 'A' ? 'B' : 'A') + secret.slice(index + 1);
  return [
    swapped(4),
    swapped(20),
    swapped(34),
    swapped(35),
    swapped(40),
    secret.slice(0, -1),
    `${secret}A`,
    secret.slice(0, 8),
    secret.toUpperCase(),
    secret.replace('en_', 'EN_'),
    secret.replace('en_', 'sk_'),
    secret.slice(3),
    'en_',
    `${secret},${secret}`,
    `en_${'-'.repeat(38)}`,
    'x'.repeat(8_000),
  ];
}
