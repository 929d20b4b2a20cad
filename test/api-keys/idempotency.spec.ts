import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { ApiAnswer, ApiClient } from '../support/api-client.js';
import { isAccepted, untilAnswered } from '../support/api-keys.js';
import { auditRowsOf } from '../support/audit-trail.js';
import { expectInvalid, expectProblem } from '../support/problems.js';
import { logIn, TestApp, type TestUser, USER_PASSWORD } from '../support/test-app.js';

const MANY = 12;

describe('Idempotency-Key', () => {
  let app: TestApp;
  let second: TestApp;
  let developer: TestUser;
  let nextKey = 0;
  beforeAll(async () => {
    app = await TestApp.start();
    second = await TestApp.start({ database: app.database });
    developer = await app.user({ role: 'developer' });
  });
  afterAll(async () => {
    await second.stop();
    await app.stop();
  });

  const newKey = () => `claim-${(nextKey += 1)}`;
  const create = (key: string, body: unknown = { name: 'Once' }, client: ApiClient = developer.client) =>
    client.post('/api-keys', body, { 'idempotency-key': key });
  const regenerate = (id: number, key: string, body?: unknown, client: ApiClient = developer.client) =>
    client.post(`/api-keys/${id}/regenerate`, body, { 'idempotency-key': key });
  const totalOf = async ({ id }: TestUser) => (await app.admin.get(`/api-keys?user_id=${id}`)).body['total'];
  const expectReplay = (answer: ApiAnswer, first: ApiAnswer) => {
    expect(answer.status).toBe(first.status);
    expect(answer.headers.get('idempotency-replayed')).toBe('true');
    expect(answer.headers.get('cache-control')).toBe('no-store');
    expect(answer.body).toStrictEqual({ ...first.body, secret_key: null });
  };

  describe('on POST /api-keys', () => {
    it('makes one key, however often the request comes, and shows its secret once', async () => {
      const before = await totalOf(developer);
      const key = newKey();
      const first = await create(key);
      expect(first.status).toBe(201);
      expect(first.headers.get('idempotency-replayed')).toBeNull();
      expectReplay(await create(key), first);
      expectReplay(await create(key), first);
      expect(await totalOf(developer)).toBe(before + 1);
      expect(await isAccepted(app, first.body['secret_key'])).toBe(true);
    });

    it('makes one key of many requests at once, over two instances: the others wait their turn or are replays', async () => {
      const [before, key] = [await totalOf(developer), newKey()];
      const elsewhere = await logIn(second.anonymous, developer.username, USER_PASSWORD);
      const answers = await Promise.all(
        Array.from({ length: MANY }, (_, n) =>
          create(key, { name: 'Once' }, n % 2 ? elsewhere : developer.client),
        ),
      );
      const made = answers.filter(
        ({ headers, status }) => status === 201 && !headers.has('idempotency-replayed'),
      );
      expect(made).toHaveLength(1);
      for (const answer of answers.filter((each) => each !== made[0])) {
        if (answer.status === 409) {
          expectProblem(answer, 'idempotency.in_progress');
          expect(answer.headers.get('retry-after')).toBe('1');
        } else expectReplay(answer, made[0] as ApiAnswer);
      }
      expect(await totalOf(developer)).toBe(before + 1);
      expectReplay(await create(key), made[0] as ApiAnswer);
    });

    it.each([[{ name: 'Twice' }], [{ name: 'Once', tags: [] }], [{ name: 'Once', description: null }]])(
      'is refused with a different body, %j',
      async (body) => {
        const key = newKey();
        const first = await create(key);
        const answer = await create(key, body);
        expectProblem(answer, 'idempotency.key_reused');
        expect(answer.status).toBe(422);
        expectReplay(await create(key), first);
      },
    );

    it('takes a body whose members come in another order for the same one', async () => {
      const key = newKey();
      const first = await create(key, { name: 'Once', tags: ['a'], rate_limit_per_day: 5 });
      expectReplay(await create(key, { rate_limit_per_day: 5, tags: ['a'], name: 'Once' }), first);
      expectProblem(
        await create(key, { name: 'Once', tags: ['a'], rate_limit_per_hour: 5 }),
        'idempotency.key_reused',
      );
    });

    it('answers a repeat like the first even when the key has changed, expired or gone since', async () => {
      const key = newKey();
      const expiresAt = new Date(app.clock.now().getTime() + 60_000).toISOString();
      const body = { name: 'Short-lived', expires_at: expiresAt };
      const first = await create(key, body);
      const id = Number(first.body['api_key'].id);
      app.clock.advanceSeconds(61);
      const expired = { ...first.body['api_key'], state: 'expired' };
      expectReplay(await create(key, body), { ...first, body: { api_key: expired } });
      await developer.client.put(`/api-keys/${id}`, { name: 'Renamed' });
      expect((await create(key, body)).body['api_key'].name).toBe('Renamed');
      await developer.client.delete(`/api-keys/${id}`);
      const last = await create(key, body);
      expect([last.status, last.body['secret_key'], last.body['api_key'].id]).toEqual([201, null, id]);
    });

    it('belongs to its user: another one makes a key of their own with it', async () => {
      const [other, key] = [await app.user({ role: 'developer' }), newKey()];
      const first = await create(key);
      const theirs = await create(key, { name: 'Once' }, other.client);
      expect(theirs.headers.get('idempotency-replayed')).toBeNull();
      expect(theirs.body['api_key']).toMatchObject({ user_id: other.id });
      expect(theirs.body['api_key'].id).not.toBe(first.body['api_key'].id);
    });

    it('answers nobody what another credential of the same user asked for', async () => {
      const scopes = ['platform:api-keys:create', 'platform:api-keys:update'];
      const secrets = [
        (await app.apiKey(developer.client, { scopes })).secret,
        (await app.apiKey(developer.client, { scopes })).secret,
      ];
      const callers = [developer.client, ...secrets.map((secret) => app.anonymous.withApiKey(secret))];
      const target = await app.apiKey(developer.client);
      for (const caller of callers) {
        const key = newKey();
        const first = await create(key, { name: 'Once' }, caller);
        expectReplay(await create(key, { name: 'Once' }, caller), first);
        expect((await regenerate(target.id, key, undefined, caller)).status).toBe(200);
        for (const other of callers.filter((each) => each !== caller)) {
          expectProblem(await create(key, { name: 'Once' }, other), 'idempotency.key_reused');
          expectProblem(await regenerate(target.id, key, undefined, other), 'idempotency.key_reused');
        }
      }
    });

    it('belongs to its operation: a regenerate with the same one is a first', async () => {
      const key = newKey();
      const { body } = await create(key);
      const answer = await regenerate(body['api_key'].id, key);
      expect([answer.status, answer.headers.get('idempotency-replayed')]).toEqual([200, null]);
    });

    it('remembers nothing of a request that was refused', async () => {
      const key = newKey();
      expectInvalid(await create(key, { name: '' }), {
        field: 'name',
        message: 'must be 1 to 100 characters long',
      });
      expectInvalid(await create(key, { name: 'x', is_unlimited: false }), {
        field: 'budget_limit_cents',
        message: 'is required when is_unlimited is false',
      });
      expect((await create(key)).status).toBe(201);
    });

    it('is forgotten after a day', async () => {
      const key = newKey();
      const first = await create(key);
      await app.database.query(`UPDATE idempotency_keys SET created_at = created_at - interval '1 day'`);
      const next = await create(key, { name: 'Another day' });
      expect([next.status, next.headers.get('idempotency-replayed')]).toEqual([201, null]);
      expect(next.body['api_key'].id).not.toBe(first.body['api_key'].id);
      expectReplay(await create(key, { name: 'Another day' }), next);
    });

    it('leaves one create_api_key row in the audit log', async () => {
      const key = newKey();
      const first = await create(key);
      const repeat = await create(key);
      const actions = [
        ...(await auditRowsOf(app.database, first)),
        ...(await auditRowsOf(app.database, repeat)),
      ];
      expect(actions.map(({ action }) => action)).toEqual(['create_api_key', 'get_api_key']);
    });
  });

  describe('on POST /api-keys/{id}/regenerate', () => {
    it('makes one new secret, however often the request comes', async () => {
      const { id, secret } = await app.apiKey(developer.client);
      const key = newKey();
      const first = await regenerate(id, key, { grace_period_seconds: 600 });
      expectReplay(await regenerate(id, key, { grace_period_seconds: 600 }), first);
      for (const alive of [secret, first.body['secret_key']]) expect(await isAccepted(app, alive)).toBe(true);
    });

    it('makes one new secret of many requests at once', async () => {
      const [{ id }, key] = [await app.apiKey(developer.client), newKey()];
      const answers = await Promise.all(
        Array.from({ length: MANY }, () => untilAnswered(() => regenerate(id, key))),
      );
      const secrets = answers.map(({ body }) => body['secret_key']).filter(Boolean);
      expect(secrets).toHaveLength(1);
      for (const { status } of answers) expect([200, 409]).toContain(status);
      expect(await isAccepted(app, secrets[0])).toBe(true);
      expect((await app.admin.get(`/api-keys/${id}`)).headers.get('etag')).toBe('"2"');
    });

    it('is refused for another key or another grace period; the default one may be left out', async () => {
      const [one, other, key] = [
        await app.apiKey(developer.client),
        await app.apiKey(developer.client),
        newKey(),
      ];
      const first = await regenerate(one.id, key, undefined);
      expectProblem(await regenerate(other.id, key), 'idempotency.key_reused');
      expectProblem(await regenerate(one.id, key, { grace_period_seconds: 1 }), 'idempotency.key_reused');
      expect(await isAccepted(app, other.secret)).toBe(true);
      for (const body of [{}, { grace_period_seconds: 0 }])
        expectReplay(await regenerate(one.id, key, body), first);
    });
  });

  describe('of a request that is rolled back at its end', () => {
    beforeAll(() =>
      app.database.query(`
        CREATE FUNCTION refuse_doomed() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN RAISE EXCEPTION 'refused by the test'; END $$;
        CREATE TRIGGER refuse_doomed BEFORE INSERT ON audit_logs
          FOR EACH ROW WHEN (NEW.request_id = 'doomed') EXECUTE FUNCTION refuse_doomed()`),
    );

    it.each([
      ['/api-keys', { name: 'Sent again' }],
      ['/api-keys/{id}/regenerate', {}],
    ])('stays free: sent again, POST %s is a first', async (route, body) => {
      const { id, secret } = await app.apiKey(developer.client);
      const [path, claim] = [route.replace('{id}', String(id)), { 'idempotency-key': newKey() }];
      const before = await totalOf(developer);
      const failed = await developer.client.post(path, body, { ...claim, 'x-request-id': 'doomed' });
      expectProblem(failed, 'internal.error');
      expect([await totalOf(developer), await isAccepted(app, secret)]).toEqual([before, true]);
      const again = await developer.client.post(path, body, claim);
      expect(again.headers.get('idempotency-replayed')).toBeNull();
      expect(await isAccepted(app, again.body['secret_key'])).toBe(true);
      expectReplay(await developer.client.post(path, body, claim), again);
    });
  });

  it.each(['', 'two words', 'x'.repeat(256), 'caf\u00e9', 'a\tb'])(
    'is refused as %j on both routes, and nothing happens',
    async (key) => {
      const { id, secret } = await app.apiKey(developer.client);
      const before = await totalOf(developer);
      for (const answer of [await create(key), await regenerate(id, key)]) {
        expectInvalid(answer, {
          field: 'Idempotency-Key',
          message: 'must be 1 to 255 visible ASCII characters',
        });
      }
      expect(await totalOf(developer)).toBe(before);
      expect(await isAccepted(app, secret)).toBe(true);
    },
  );
});
