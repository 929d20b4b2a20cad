import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { LastUse } from '../../src/api-keys/last-use.service.js';
import { codeOf } from '../verification/verdicts.js';
import { currentSecretBody, isAccepted, ownerOfKeys } from '../support/api-keys.js';
import { expectOneAuditRow } from '../support/audit-trail.js';
import { expectInvalid, expectProblem } from '../support/problems.js';
import { TestApp, type TestApiKey } from '../support/test-app.js';

interface ShownSecret {
  readonly id: string;
  readonly key_prefix: string;
  readonly created_at: string;
  readonly last_used_at: string | null;
  readonly retires_at: string | null;
}

describe('the secrets of a key', () => {
  let app: TestApp;
  beforeAll(async () => {
    app = await TestApp.start();
  });
  afterAll(() => app.stop());

  const regenerate = ({ id }: TestApiKey, graceSeconds: number, headers?: Record<string, string>) =>
    app.admin.post(`/api-keys/${id}/regenerate`, { grace_period_seconds: graceSeconds }, headers);
  /** Regenerates the key with each grace period in turn; all of its secrets, oldest first. */
  const rotate = async (key: TestApiKey, ...graces: number[]) => {
    const secrets = [key.secret];
    for (const grace of graces) {
      const answer = await regenerate(key, grace);
      expect(answer.status).toBe(200);
      secrets.push(answer.body['secret_key']);
    }
    return secrets;
  };
  const shown = async ({ id }: TestApiKey): Promise<ShownSecret[]> =>
    (await app.admin.get(`/api-keys/${id}`)).body['secrets'];
  const accepted = (secrets: readonly string[]) =>
    Promise.all(secrets.map((secret) => isAccepted(app, secret)));
  const codes = (secrets: readonly string[]) =>
    Promise.all(secrets.map((secret) => codeOf(app.admin, secret)));
  const end = ({ id }: TestApiKey, secretId: string | undefined) =>
    app.admin.delete(`/api-keys/${id}/secrets/${String(secretId)}`);

  it('are each valid until their own time, however many retire at once', async () => {
    const key = await app.apiKey();
    const secrets = await rotate(key, 500, 300, 400, 100, 200);
    expect(await accepted(secrets)).toEqual([true, true, true, true, true, true]);
    expect(await codes(secrets)).toEqual(Array.from({ length: 6 }, () => 'VALID'));
    app.clock.advanceSeconds(150);
    expect(await accepted(secrets)).toEqual([true, true, true, false, true, true]);
    expect((await shown(key)).map(({ key_prefix }) => key_prefix)).toEqual(
      [5, 4, 1, 2, 0].map((index) => secrets[index]?.slice(0, 8)),
    );
    app.clock.advanceSeconds(200);
    expect(await accepted(secrets)).toEqual([true, false, true, false, false, true]);
    expect(await codes(secrets)).toEqual(['VALID', 'NOT_FOUND', 'VALID', 'NOT_FOUND', 'NOT_FOUND', 'VALID']);
    // Two of five are left, so three more may retire.
    const more = await rotate(key, 600, 600, 600);
    expectProblem(await regenerate(key, 600), 'api_key.too_many_secrets');
    expect(await accepted([...secrets, ...more.slice(1)])).toEqual([
      true,
      false,
      true,
      false,
      false,
      true,
      true,
      true,
      true,
    ]);
  });

  it('are listed with id, prefix, times and last use, and never themselves, wherever the key is shown', async () => {
    const created = await app.apiKey(app.admin, { name: 'Listed' });
    expect(created.body['secrets']).toStrictEqual([
      currentSecretBody({ key_prefix: created.secret.slice(0, 8) }),
    ]);
    const before = app.clock.now().getTime();
    const answer = await regenerate(created, 600);
    const secret: string = answer.body['secret_key'];
    const [current, retiring, ...rest] = answer.body['api_key'].secrets as ShownSecret[];
    expect(rest).toEqual([]);
    expect(current).toStrictEqual(currentSecretBody({ key_prefix: secret.slice(0, 8) }));
    const [first] = created.body['secrets'] as [ShownSecret];
    expect(retiring).toStrictEqual({ ...first, retires_at: expect.any(String) });
    expect(Date.parse(retiring?.retires_at ?? '')).toBeGreaterThanOrEqual(before + 600_000);

    await codeOf(app.admin, created.secret);
    const usedAt = app.clock.now().getTime();
    await app.app.get(LastUse).flush();
    const [unused, used] = await shown(created);
    expect(unused).toStrictEqual(current);
    expect(used).toStrictEqual({ ...retiring, last_used_at: expect.any(String) });
    expect(Math.abs(Date.parse(used?.last_used_at ?? '') - usedAt)).toBeLessThan(10_000);

    const places = [
      await app.admin.get('/api-keys?search=Listed'),
      await app.admin.get(`/api-keys/${created.id}`),
      await app.admin.put(`/api-keys/${created.id}`, { description: 'x' }),
    ];
    for (const { text } of places) {
      expect(text).toContain(used?.id);
      expect(text).not.toContain(secret);
      expect(text).not.toContain(created.secret);
    }
  });

  it('are not told as changed when they are used', async () => {
    const key = await app.apiKey();
    expect(await codeOf(app.admin, key.secret)).toBe('VALID');
    const rows = () => app.database.query(`SELECT seq FROM change_feed WHERE kind <> 'user' ORDER BY seq`);
    const before = await rows();
    await app.app.get(LastUse).flush();
    expect((await shown(key))[0]?.last_used_at).not.toBeNull();
    expect(await rows()).toEqual(before);
  });

  it('end one by one by DELETE, at once, also where they are known from memory', async () => {
    const key = await app.apiKey(app.admin, { name: 'Ended' });
    const secrets = await rotate(key, 600, 600);
    expect(await codes(secrets)).toEqual(['VALID', 'VALID', 'VALID']);
    const { headers } = await app.admin.get(`/api-keys/${key.id}`);
    const oldest = (await shown(key)).find(({ key_prefix }) => key_prefix === key.secret.slice(0, 8));
    const answer = await end(key, oldest?.id);
    expect([answer.status, answer.body]).toEqual([200, { message: 'Secret deleted successfully' }]);
    await expectOneAuditRow(app.database, answer, {
      action: 'delete_api_key_secret',
      resource_type: 'api_key',
      resource_id: String(key.id),
      details: { name: 'Ended', secret_id: oldest?.id, key_prefix: key.secret.slice(0, 8) },
    });
    expect(await codes(secrets)).toEqual(['NOT_FOUND', 'VALID', 'VALID']);
    expect(await shown(key)).toHaveLength(2);
    expect((await app.admin.get(`/api-keys/${key.id}`)).headers.get('etag')).not.toBe(headers.get('etag'));
    expectProblem(await end(key, oldest?.id), 'api_key.secret_not_found');
  });

  it('cannot be ended when they are the current one, of another key, over, or no id', async () => {
    const [key, other] = [await app.apiKey(), await app.apiKey()];
    const secrets = await rotate(key, 60);
    await rotate(other, 60);
    const [current, retiring] = await shown(key);
    const [, foreign] = await shown(other);
    expectProblem(await end(key, current?.id), 'api_key.secret_in_use');
    expectProblem(await end(key, foreign?.id), 'api_key.secret_not_found');
    expectProblem(await end(key, '0123456789abcdef'), 'api_key.secret_not_found');
    for (const id of ['1', 'ABCDEF0123456789', '0123456789abcdef0', secrets[0]]) {
      const answer = await end(key, id);
      expect([answer.status, answer.body['errors'][0].field]).toEqual([422, 'secret_id']);
    }
    expectInvalid(await app.admin.delete('/api-keys/x/secrets/0123456789abcdef'), {
      field: 'id',
      message: `must be a whole number from 1 to ${Number.MAX_SAFE_INTEGER}`,
    });
    expect(await accepted(secrets)).toEqual([true, true]);
    app.clock.advanceSeconds(60);
    expectProblem(await end(key, retiring?.id), 'api_key.secret_not_found');
  });

  it('are ended by the owner or with the permission to update, and by nobody else', async () => {
    const { owner, key } = await ownerOfKeys(app, 1);
    await rotate(key, 600, 600, 600);
    const [, first, second, third] = await shown(key);
    const path = (secret: ShownSecret | undefined) => `/api-keys/${key.id}/secrets/${String(secret?.id)}`;
    const stranger = await app.user();
    const updater = await app.user({ permissions: ['platform:api-keys:update'] });
    const reader = await app.user({ permissions: ['platform:api-keys:read', 'platform:api-keys:delete'] });
    expectProblem(await stranger.client.delete(path(first)), 'permission.denied');
    expectProblem(await reader.client.delete(path(first)), 'permission.denied');
    expectProblem(await app.anonymous.delete(path(first)), 'auth.credential_missing');
    expect((await owner.client.delete(path(first))).status).toBe(200);
    expect((await updater.client.delete(path(second))).status).toBe(200);
    expect((await shown(key)).map(({ id }) => id)).toEqual([expect.any(String), third?.id]);
  });

  it('are made once by a request that is repeated under an Idempotency-Key', async () => {
    const key = await app.apiKey();
    const claim = { 'idempotency-key': 'retiring' };
    const first = await regenerate(key, 600, claim);
    const repeat = await regenerate(key, 600, claim);
    expect([repeat.status, repeat.body['secret_key']]).toEqual([200, null]);
    expect(repeat.body['api_key']).toStrictEqual(first.body['api_key']);
    expect(await shown(key)).toHaveLength(2);
  });

  it('of the version before, without a prefix of their own, are shown and retire like any other', async () => {
    const key = await app.apiKey();
    await app.database.query('UPDATE api_key_secrets SET key_prefix = NULL WHERE api_key_id = $1', [key.id]);
    const prefix = key.secret.slice(0, 8);
    expect((await shown(key)).map(({ key_prefix }) => key_prefix)).toEqual([prefix]);
    const [, next] = await rotate(key, 600);
    expect((await shown(key)).map(({ key_prefix }) => key_prefix)).toEqual([next?.slice(0, 8), prefix]);
  });
});

describe('an expired key', () => {
  let app: TestApp;
  beforeAll(async () => {
    app = await TestApp.start();
  });
  afterAll(() => app.stop());

  it.each(['activate', 'regenerate'])(
    'is not said to %s: 409 names the expiry, and nothing changes until it is moved',
    async (action) => {
      const expiresAt = new Date(app.clock.now().getTime() + 60_000).toISOString();
      const { id, secret } = await app.apiKey(app.admin, { expires_at: expiresAt });
      const path = `/api-keys/${id}`;
      if (action === 'activate') await app.admin.post(`${path}/deactivate`);
      app.clock.advanceSeconds(61);
      const before = (await app.admin.get(path)).body;
      expect(before['state']).toBe(action === 'activate' ? 'inactive' : 'expired');
      const answer = await app.admin.post(`${path}/${action}`);
      expectProblem(answer, 'api_key.expired');
      expect(answer.body['detail']).toContain(expiresAt);
      expect((await app.admin.get(path)).body).toEqual(before);

      await app.admin.put(path, { expires_at: null });
      const again = await app.admin.post(`${path}/${action}`);
      expect(again.status).toBe(200);
      expect((await app.admin.get(path)).body['state']).toBe('active');
      expect(await isAccepted(app, action === 'activate' ? secret : again.body['secret_key'])).toBe(true);
    },
  );

  it.each(['activate', 'regenerate'])(
    'by one that it comes from is not said to %s either: 409 names that key, until its expiry is moved',
    async (action) => {
      const expiresAt = new Date(app.clock.now().getTime() + 60_000).toISOString();
      const first = await app.apiKey(app.admin, {
        expires_at: expiresAt,
        scopes: ['platform:api-keys:create'],
      });
      const second = await app.apiKey(app.anonymous.withApiKey(first.secret), {
        scopes: ['platform:api-keys:create'],
      });
      const third = await app.apiKey(app.anonymous.withApiKey(second.secret));
      const descendants = [second, third].map(({ id }) => id);
      // Their own expiry does not matter: only that of the first is over.
      await app.database.query('UPDATE api_keys SET expires_at = NULL WHERE id = ANY($1)', [descendants]);
      if (action === 'activate')
        for (const id of descendants) await app.admin.post(`/api-keys/${id}/deactivate`);
      app.clock.advanceSeconds(61);
      for (const id of descendants) {
        const path = `/api-keys/${id}`;
        const before = (await app.admin.get(path)).body;
        expect(before['state']).toBe(action === 'activate' ? 'inactive' : 'expired');
        const answer = await app.admin.post(`${path}/${action}`);
        expectProblem(answer, 'api_key.expired');
        expect(answer.body['detail']).toContain(`API key ${first.id}, which expired at ${expiresAt}`);
        expect((await app.admin.get(path)).body).toEqual(before);
      }
      await app.admin.put(`/api-keys/${first.id}`, { expires_at: null });
      for (const id of descendants) {
        expect(await app.admin.post(`/api-keys/${id}/${action}`)).toMatchObject({ status: 200 });
        expect((await app.admin.get(`/api-keys/${id}`)).body['state']).toBe('active');
      }
    },
  );
});
