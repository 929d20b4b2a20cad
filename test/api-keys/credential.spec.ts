import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { isAccepted, setPermissions } from '../support/api-keys.js';
import { expectProblem } from '../support/problems.js';
import { TestApp, type TestUser } from '../support/test-app.js';

const HOUR_SECONDS = 3_600;

describe('an API key as a credential', () => {
  let app: TestApp;
  let behindProxy: TestApp;
  let developer: TestUser;
  beforeAll(async () => {
    app = await TestApp.start();
    const environment = { TRUSTED_PROXIES: '127.0.0.0/8,10.0.0.0/8' };
    behindProxy = await TestApp.start({ database: app.database, environment });
    developer = await app.user({ role: 'developer' });
  });
  afterAll(async () => {
    await behindProxy.stop();
    await app.stop();
  });

  const permissionsOf = async (secret: string): Promise<string[]> =>
    (await app.anonymous.withApiKey(secret).get('/auth/me')).body['permissions'];

  it('is its owner, in X-API-Key and in Authorization alike', async () => {
    const { secret } = await app.apiKey(developer.client, { scopes: ['platform:api-keys:read'] });
    const expected = {
      id: developer.id,
      username: developer.username,
      role: 'developer',
      permissions: ['platform:api-keys:read'],
      scoped_permissions: [{ organization_id: 1, project_id: 1, permissions: [] }],
    };
    for (const [name, value] of [
      ['x-api-key', secret],
      ['authorization', `Bearer ${secret}`],
      ['authorization', `bearer ${secret}`],
    ] as const) {
      const answer = await app.anonymous.get('/auth/me', { [name]: value });
      expect({ status: answer.status, body: answer.body }).toEqual({ status: 200, body: expected });
    }
  });

  it('together with another credential is 400, whichever is right', async () => {
    const { secret } = await app.apiKey(developer.client);
    for (const apiKey of [secret, 'wrong', '']) {
      const both = await developer.client.get('/auth/me', { 'x-api-key': apiKey });
      expectProblem(both, 'auth.credential_ambiguous', 'Send either Authorization or X-API-Key, not both.');
      expect(both.status).toBe(400);
    }
    const twice = await app.anonymous
      .withApiKey(secret)
      .get('/auth/me', { authorization: `Bearer ${secret}` });
    expectProblem(twice, 'auth.credential_ambiguous');
  });

  it('is refused while inactive, from the next request on', async () => {
    const { id, secret } = await app.apiKey(developer.client);
    await developer.client.post(`/api-keys/${id}/deactivate`);
    const answer = await app.anonymous.withApiKey(secret).get('/auth/me');
    expectProblem(answer, 'auth.credential_invalid', 'The API key is not valid.');
    await developer.client.post(`/api-keys/${id}/activate`);
    expect(await isAccepted(app, secret)).toBe(true);
  });

  it('is refused from the moment it expires on', async () => {
    const inAnHour = new Date(app.clock.now().getTime() + HOUR_SECONDS * 1000).toISOString();
    const { id, secret } = await app.apiKey(developer.client, { expires_at: inAnHour });
    app.clock.advanceSeconds(HOUR_SECONDS - 60);
    expect(await isAccepted(app, secret)).toBe(true);
    app.clock.advanceSeconds(60);
    expect(await isAccepted(app, secret)).toBe(false);
    await developer.client.put(`/api-keys/${id}`, { expires_at: null });
    expect(await isAccepted(app, secret)).toBe(true);
  });

  it('is refused while its owner is disabled, and for ever once they are deleted', async () => {
    const owner = await app.user({ role: 'developer' });
    const { secret } = await app.apiKey(owner.client);
    await app.admin.put(`/users/${owner.id}`, { is_active: false });
    expect(await isAccepted(app, secret)).toBe(false);
    await app.admin.put(`/users/${owner.id}`, { is_active: true });
    expect(await isAccepted(app, secret)).toBe(true);
    await app.admin.delete(`/users/${owner.id}`);
    expect(await isAccepted(app, secret)).toBe(false);
  });

  it('outlives the sessions of its owner', async () => {
    const owner = await app.user({ role: 'developer' });
    const { secret } = await app.apiKey(owner.client);
    await owner.client.post('/auth/logout');
    expect((await owner.client.get('/auth/me')).status).toBe(401);
    expect(await isAccepted(app, secret)).toBe(true);
    const logout = await app.anonymous.withApiKey(secret).post('/auth/logout');
    expectProblem(logout, 'permission.denied', 'An API key has no session to end.');
  });

  describe('restricted to addresses', () => {
    it.each([
      [['127.0.0.1'], true],
      [['127.0.0.0/8'], true],
      [['127.0.0.1/32', '192.0.2.1'], true],
      [['0.0.0.0/0'], true],
      [['::ffff:127.0.0.1'], true],
      [['127.0.0.2'], false],
      [['127.0.0.0/32'], false],
      [['127.0.0.10', '127.0.0.11'], false],
      [['10.0.0.0/8'], false],
      [['::1', '::/1', '8000::/1'], false],
    ])('%j accepts 127.0.0.1: %s (fault 8 of the seed)', async (allowedIps, accepted) => {
      const { secret } = await app.apiKey(developer.client, { allowed_ips: allowedIps });
      expect(await isAccepted(app, secret)).toBe(accepted);
    });

    it('believes no header of a caller who is no trusted proxy', async () => {
      const { secret } = await app.apiKey(developer.client, { allowed_ips: ['192.0.2.7'] });
      const { secret: local } = await app.apiKey(developer.client, { allowed_ips: ['127.0.0.1'] });
      for (const name of [
        'x-forwarded-for',
        'forwarded',
        'x-real-ip',
        'x-client-ip',
        'cf-connecting-ip',
        'true-client-ip',
      ]) {
        const headers = { [name]: name === 'forwarded' ? 'for=192.0.2.7' : '192.0.2.7' };
        const claimed = await app.anonymous.withApiKey(secret).get('/auth/me', headers);
        const honest = await app.anonymous.withApiKey(local).get('/auth/me', headers);
        expect([name, claimed.status, honest.status]).toEqual([name, 401, 200]);
      }
    });

    it.each([0, 1, 2])(
      'is refused from where key %i of its line is not allowed any more, on both planes',
      async (restricted) => {
        const scopes = ['platform:api-keys:create', 'platform:api-keys:verify', 'platform:usage:write'];
        const owner = await app.user({ permissions: ['platform:*'] });
        const line = [await app.apiKey(owner.client, { scopes })];
        while (line.length < 3)
          line.push(await app.apiKey(app.anonymous.withApiKey(line.at(-1)!.secret), { scopes }));
        const { id } = line[restricted]!;
        const child = app.anonymous.withApiKey(line[2]!.secret);
        const statuses = async () => [
          (await child.get('/auth/me')).status,
          (await child.post('/api-keys/verify', { key: 'en_unknown' })).status,
          (await child.post('/usage', [])).status,
          (await child.post('/api-keys', { name: 'A child', scopes })).status,
        ];
        expect(await statuses()).toEqual([200, 200, 200, 201]);
        const change = { allowed_ips: ['192.0.2.0/24'] };
        expect((await app.admin.put(`/api-keys/${id}`, change)).status).toBe(200);
        expect(await statuses()).toEqual([401, 401, 401, 401]);
        const elsewhere = behindProxy.anonymous.withApiKey(line[2]!.secret);
        for (const [address, status] of [
          ['192.0.2.7', 200],
          ['198.51.100.1', 401],
        ] as const) {
          const answer = await elsewhere.get('/auth/me', { 'x-forwarded-for': address });
          expect([address, answer.status]).toEqual([address, status]);
        }
        expect((await app.admin.put(`/api-keys/${id}`, { allowed_ips: [] })).status).toBe(200);
        expect(await statuses()).toEqual([200, 200, 200, 201]);
      },
    );

    it('takes the right-most address that a trusted proxy did not vouch for', async () => {
      const { secret } = await app.apiKey(developer.client, {
        allowed_ips: ['192.0.2.0/24', '2001:db8::/32'],
      });
      const statusFor = async (forwardedFor: string) => {
        const client = behindProxy.anonymous.withApiKey(secret);
        return (await client.get('/auth/me', { 'x-forwarded-for': forwardedFor })).status;
      };
      const accepted = [
        '192.0.2.7',
        '198.51.100.1, 192.0.2.7',
        '192.0.2.7, 10.1.2.3',
        '::ffff:192.0.2.7',
        '2001:DB8::7',
        '192.0.2.7:443',
        '[2001:db8::7]:443',
      ];
      const refused = [
        '192.0.2.7, 198.51.100.1',
        '',
        '10.1.2.3',
        '192.0.2.7, unknown',
        '192.0.2.7:no-port',
        '192.0.2.7.',
      ];
      for (const value of accepted) expect([value, await statusFor(value)]).toEqual([value, 200]);
      for (const value of refused) expect([value, await statusFor(value)]).toEqual([value, 401]);
    });
  });

  describe('may do', () => {
    it.each([
      [['platform:api-keys:read'], ['platform:api-keys:read']],
      [['platform:api-keys:*'], ['platform:api-keys:*']],
      [['*'], []],
      [['*:api-keys:read', '*:*'], []],
      [['platform', 'platform*', 'PLATFORM:api-keys:read', ' platform:api-keys:read'], []],
      [['app:read', 'api-keys:read'], []],
      [[], []],
    ])('with scopes %j of a developer: %j', async (scopes, permissions) => {
      const { secret } = await app.apiKey(developer.client, { scopes });
      expect(await permissionsOf(secret)).toEqual(permissions);
    });

    it('never more than its owner may do at that moment', async () => {
      const owner = await app.user({ role: 'developer', permissions: ['platform:users:read'] });
      const scopes = ['platform:api-keys:*', 'platform:users:read'];
      const { secret } = await app.apiKey(owner.client, { scopes });
      const client = app.anonymous.withApiKey(secret);
      expect((await permissionsOf(secret)).toSorted()).toEqual(scopes.toSorted());
      expect((await client.get('/users')).status).toBe(200);
      await setPermissions(app, owner, []);
      expect(await permissionsOf(secret)).toEqual(['platform:api-keys:*']);
      expectProblem(await client.get('/users'), 'permission.denied');
      await app.admin.put(`/users/${owner.id}`, { role: 'auditor' });
      expect(await permissionsOf(secret)).toEqual(['platform:api-keys:read', 'platform:users:read']);
      await app.admin.put(`/users/${owner.id}`, { role: 'user' });
      expect(await permissionsOf(secret)).toEqual([]);
    });

    it('never more than its scopes, even as the key of an admin', async () => {
      const { secret } = await app.apiKey(app.admin, { scopes: ['platform:*:read'] });
      const client = app.anonymous.withApiKey(secret);
      expect((await client.get('/users')).status).toBe(200);
      expect((await client.get('/api-keys')).status).toBe(200);
      for (const answer of [
        await client.post('/api-keys', { name: 'x' }),
        await client.post('/users', { username: 'someone', password: 'a long user passphrase' }),
      ]) {
        expectProblem(answer, 'permission.denied');
      }
    });
  });

  it('cannot be distinguished from one that does not exist', async () => {
    const gone = await app.apiKey(developer.client);
    const inactive = await app.apiKey(developer.client);
    const elsewhere = await app.apiKey(developer.client, { allowed_ips: ['192.0.2.1'] });
    await developer.client.delete(`/api-keys/${gone.id}`);
    await developer.client.post(`/api-keys/${inactive.id}/deactivate`);
    const bodies = [];
    for (const secret of [gone.secret, inactive.secret, elsewhere.secret, 'nonsense', '']) {
      const { status, body } = await app.anonymous.withApiKey(secret).get('/auth/me');
      bodies.push({ ...body, request_id: null, status });
    }
    expect(new Set(bodies.map((body) => JSON.stringify(body))).size).toBe(1);
    expect(bodies[0]).toMatchObject({ status: 401, code: 'auth.credential_invalid' });
  });
});
