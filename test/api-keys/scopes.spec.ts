import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ownerOfKeys, setPermissions, storedKey } from '../support/api-keys.js';
import { expectOneAuditRow } from '../support/audit-trail.js';
import { expectProblem } from '../support/problems.js';
import { TestApp, type TestApiKey, type TestUser } from '../support/test-app.js';

const BEYOND = 'platform:users:delete';
const reason = (...permissions: string[]) =>
  `This needs permissions that you do not hold: ${permissions.join(', ')}.`;

describe('nobody gives a key a platform scope that they lack', () => {
  let app: TestApp;
  let developer: TestUser;
  beforeAll(async () => {
    app = await TestApp.start();
    developer = await app.user({ role: 'developer' });
  });
  afterAll(() => app.stop());

  it.each([
    [[BEYOND]],
    [['platform:*']],
    [['platform:*:read']],
    [['platform:api-keys']],
    [['platform:api-keys:read', BEYOND]],
    [['platform:']],
    [['platform::']],
    [['platform:*:*']],
  ])('when they make one with %j', async (scopes) => {
    const before = (await developer.client.get(`/api-keys?user_id=${developer.id}`)).body['total'];
    const answer = await developer.client.post('/api-keys', { name: 'Too much', scopes });
    const lacking = scopes.filter((scope) => scope !== 'platform:api-keys:read');
    expectProblem(answer, 'permission.denied', reason(...lacking));
    await expectOneAuditRow(app.database, answer, {
      action: 'create_api_key',
      resource_type: 'api_key',
      resource_id: null,
      user_id: developer.id,
      details: { reason: reason(...lacking) },
      success: false,
    });
    expect((await developer.client.get(`/api-keys?user_id=${developer.id}`)).body['total']).toBe(before);
  });

  it('but any other scope, and every platform scope they hold', async () => {
    const scopes = [
      '*',
      'app:*',
      'users:delete',
      'platform:api-keys:*',
      'platform:api-keys:verify',
      'Platform:users:delete',
    ];
    const { body } = await app.apiKey(developer.client, { scopes });
    expect(body['scopes']).toEqual(scopes);
  });

  it('when they add one to a key, their own or another’s', async () => {
    const own = await app.apiKey(developer.client, { scopes: ['app:read'] });
    const other = await app.apiKey(app.admin);
    for (const { id } of [own, other]) {
      const before = await storedKey(app, id);
      const answer = await developer.client.put(`/api-keys/${id}`, { scopes: ['app:read', BEYOND] });
      expectProblem(answer, 'permission.denied', reason(BEYOND));
      await expectOneAuditRow(app.database, answer, {
        action: 'update_api_key',
        resource_id: String(id),
        details: { reason: reason(BEYOND) },
        success: false,
      });
      expect(await storedKey(app, id)).toEqual(before);
    }
  });

  it('when a key makes a key: what its own scopes lack, it cannot give', async () => {
    const { secret } = await app.apiKey(app.admin, { scopes: ['platform:api-keys:create'] });
    const client = app.anonymous.withApiKey(secret);
    const refused = await client.post('/api-keys', { name: 'x', scopes: ['platform:api-keys:read'] });
    expectProblem(refused, 'permission.denied', reason('platform:api-keys:read'));
    const allowed = await client.post('/api-keys', { name: 'x', scopes: ['platform:api-keys:create'] });
    expect(allowed.status).toBe(201);
  });

  it('when they lost it meanwhile: an owner keeps it on the key, and cannot give it again', async () => {
    const { owner, key } = await ownerOfKeys(app, 1, { scopes: [BEYOND, 'app:read'] });
    const path = `/api-keys/${key.id}`;
    const kept = await owner.client.put(path, { name: 'Renamed', scopes: [BEYOND] });
    expect(kept.body).toMatchObject({ name: 'Renamed', scopes: [BEYOND] });
    expect((await owner.client.post(`${path}/regenerate`)).status).toBe(200);
    expect((await owner.client.put(path, { scopes: [] })).status).toBe(200);
    expectProblem(await owner.client.put(path, { scopes: [BEYOND] }), 'permission.denied', reason(BEYOND));
  });
});

describe('a key that carries platform scopes which the caller lacks', () => {
  let app: TestApp;
  let updater: TestUser;
  let powerful: TestApiKey;
  beforeAll(async () => {
    app = await TestApp.start();
    updater = await app.user({ permissions: ['platform:api-keys:update', 'platform:api-keys:delete'] });
    powerful = await app.apiKey(app.admin, { scopes: ['platform:*', 'app:read'] });
  });
  afterAll(() => app.stop());

  it.each([
    ['update_api_key', 'PUT', '', { name: 'Taken over' }],
    ['update_api_key', 'PUT', '', { scopes: [] }],
    ['update_api_key', 'PUT', '', { is_active: false }],
    ['activate_api_key', 'POST', '/activate', undefined],
    ['regenerate_api_key', 'POST', '/regenerate', undefined],
  ])(
    'is refused by %s (%s %s %j) of another user, who would come by its power',
    async (action, method, path, body) => {
      const before = await storedKey(app, powerful.id);
      const answer = await updater.client.send(method, `/api-keys/${powerful.id}${path}`, { body });
      expectProblem(answer, 'permission.denied', reason('platform:*'));
      await expectOneAuditRow(app.database, answer, {
        action,
        resource_id: String(powerful.id),
        user_id: updater.id,
        details: { reason: reason('platform:*') },
        success: false,
      });
      expect(await storedKey(app, powerful.id)).toEqual(before);
    },
  );

  it('may still be deactivated and deleted by them: that takes power away', async () => {
    const key = await app.apiKey(app.admin, { scopes: ['platform:*'] });
    expect((await updater.client.post(`/api-keys/${key.id}/deactivate`)).status).toBe(200);
    expect((await updater.client.delete(`/api-keys/${key.id}`)).status).toBe(200);
  });

  it('is theirs to change as soon as they hold what it carries', async () => {
    const key = await app.apiKey(app.admin, { scopes: ['platform:users:read'] });
    const path = `/api-keys/${key.id}`;
    expectProblem(await updater.client.post(`${path}/regenerate`), 'permission.denied');
    await setPermissions(app, updater, ['platform:api-keys:*', 'platform:users:*']);
    expect((await updater.client.post(`${path}/regenerate`)).status).toBe(200);
    expect((await updater.client.put(path, { name: 'Changed' })).status).toBe(200);
    expect((await updater.client.post(`${path}/activate`)).status).toBe(200);
  });

  it('is refused to a key of its own owner that lacks them: ownership counts only with a session', async () => {
    const { secret } = await app.apiKey(app.admin, { scopes: ['platform:api-keys:update'] });
    const client = app.anonymous.withApiKey(secret);
    const refused = await client.post(`/api-keys/${powerful.id}/regenerate`);
    expectProblem(refused, 'permission.denied', reason('platform:*'));
    const plain = await app.apiKey(app.admin);
    expect((await client.post(`/api-keys/${plain.id}/regenerate`)).status).toBe(200);
  });
});
