import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { AdminRecovery } from '../../src/users/admin-recovery.service.js';
import { expectOneAuditRow } from '../support/audit-trail.js';
import { UTC_TIMESTAMP } from '../support/api-keys.js';
import { memberOf, project, serviceAccount, team, type TestTeam } from '../support/organizations.js';
import { expectInvalid, expectProblem } from '../support/problems.js';
import { TestApp, USER_PASSWORD } from '../support/test-app.js';

describe('/projects/:id/service-accounts', () => {
  let app: TestApp;
  let ours: TestTeam;
  let path: string;
  let made = 0;
  beforeAll(async () => {
    app = await TestApp.start();
    ours = await team(app);
    path = `/projects/${ours.projectId}/service-accounts`;
  });
  afterAll(() => app.stop());

  const newName = () => `account-${(made += 1)}`;
  const verdictOf = async (secret: string) =>
    (await app.admin.post('/api-keys/verify', { key: secret })).body['code'];
  const keyOf = (account: number, fields: Record<string, unknown> = {}) =>
    app.apiKey(ours.owner.client, { service_account_id: account, ...fields });

  it('POST creates an account, which GET answers, the list shows and the audit log names', async () => {
    const name = newName();
    const permissions = ['platform:api-keys:verify'];
    const answer = await ours.owner.client.post(path, { name, permissions });
    expect([answer.status, answer.body]).toEqual([
      201,
      {
        id: expect.any(Number),
        name,
        permissions,
        is_active: true,
        organization_id: ours.organizationId,
        project_id: ours.projectId,
        created_at: expect.stringMatching(UTC_TIMESTAMP),
        updated_at: expect.stringMatching(UTC_TIMESTAMP),
      },
    ]);
    expect((await ours.owner.client.get(`${path}/${String(answer.body['id'])}`)).body).toEqual(answer.body);
    const { body } = await ours.owner.client.get(`${path}?size=100`);
    expect(body['service_accounts']).toContainEqual(answer.body);
    expect(body).toMatchObject({ total: body['service_accounts'].length, next_cursor: null });
    await expectOneAuditRow(app.database, answer, {
      action: 'create_service_account',
      resource_type: 'service_account',
      resource_id: String(answer.body['id']),
      user_id: ours.owner.id,
      details: { project_id: ours.projectId, name, permissions },
    });
  });

  it('POST refuses a name that the project has, and lets another project have it', async () => {
    const name = newName();
    await ours.owner.client.post(path, { name });
    expectProblem(await ours.owner.client.post(path, { name }), 'service_account.name_taken');
    const other = await project(app.admin, ours.organizationId);
    expect((await ours.owner.client.post(`/projects/${other}/service-accounts`, { name })).status).toBe(201);
  });

  it.each(['', 'a b', 'A', 'a:b', 'x'.repeat(65)])('POST refuses the name %j', async (name) => {
    const message = name === '' || name.length > 64 ? /1 to 64/ : /a-z 0-9/;
    expectInvalid(await ours.owner.client.post(path, { name }), {
      field: 'name',
      message: expect.stringMatching(message),
    });
  });

  it('nobody gives an account what they lack in the project, nor the data plane of an organization that is not theirs', async () => {
    const { client } = await memberOf(app, `/projects/${ours.projectId}`, 'project_admin');
    for (const permissions of [['platform:users:read'], ['platform:*'], ['platform:api-keys:verify']])
      expectProblem(await client.post(path, { name: newName(), permissions }), 'permission.denied');
    const own = ['platform:api-keys:read', 'platform:budgets:*'];
    const { status, body } = await client.post(path, { name: newName(), permissions: own });
    expect([status, body['permissions']]).toEqual([201, own]);
    const wider = { permissions: ['platform:audit:read'] };
    expectProblem(await client.put(`${path}/${String(body['id'])}`, wider), 'permission.denied');
    const stronger = await serviceAccount(ours.owner.client, ours.projectId, ['platform:usage:write']);
    expectProblem(await client.put(`${path}/${stronger}`, { is_active: false }), 'permission.denied');
    expectProblem(await client.delete(`${path}/${stronger}`), 'permission.denied');
  });

  it('a viewer reads accounts and changes none; to a stranger the project does not exist', async () => {
    const id = await serviceAccount(ours.owner.client, ours.projectId);
    const { client } = await memberOf(app, `/projects/${ours.projectId}`, 'project_viewer');
    expect((await client.get(`${path}/${id}`)).status).toBe(200);
    expectProblem(await client.post(path, { name: newName() }), 'permission.denied');
    expectProblem(await client.put(`${path}/${id}`, { is_active: false }), 'permission.denied');
    expectProblem(await client.delete(`${path}/${id}`), 'permission.denied');
    const stranger = (await team(app)).owner.client;
    for (const answer of [
      await stranger.get(path),
      await stranger.get(`${path}/${id}`),
      await stranger.post(path, { name: newName() }),
      await stranger.put(`${path}/${id}`, { is_active: false }),
      await stranger.delete(`${path}/${id}`),
    ])
      expectProblem(answer, 'project.not_found');
  });

  it('an account of another project, a person and an unknown id are not found', async () => {
    const other = await project(app.admin, ours.organizationId);
    const id = await serviceAccount(ours.owner.client, other);
    for (const unknown of [id, ours.owner.id, 999_999]) {
      expectProblem(await ours.owner.client.get(`${path}/${unknown}`), 'service_account.not_found');
      expectProblem(await ours.owner.client.put(`${path}/${unknown}`, {}), 'service_account.not_found');
      expectProblem(await ours.owner.client.delete(`${path}/${unknown}`), 'service_account.not_found');
    }
  });

  it('PUT changes the fields present and says in the audit log which', async () => {
    const id = await serviceAccount(ours.owner.client, ours.projectId, ['platform:usage:write']);
    const name = newName();
    const answer = await ours.owner.client.put(`${path}/${id}`, { name });
    expect(answer.body).toMatchObject({ name, permissions: ['platform:usage:write'], is_active: true });
    await expectOneAuditRow(app.database, answer, {
      action: 'update_service_account',
      details: expect.objectContaining({ updated_fields: ['name'], after_values: { name } }),
    });
    const taken = newName();
    await ours.owner.client.post(path, { name: taken });
    expectProblem(
      await ours.owner.client.put(`${path}/${id}`, { name: taken }),
      'service_account.name_taken',
    );
  });

  it('the keys of a disabled account are refused, and live again when it is enabled', async () => {
    const id = await serviceAccount(ours.owner.client, ours.projectId);
    const key = await keyOf(id);
    expect(await verdictOf(key.secret)).toBe('VALID');
    await ours.owner.client.put(`${path}/${id}`, { is_active: false });
    expect(await verdictOf(key.secret)).toBe('DISABLED');
    const refused = await ours.owner.client.post('/api-keys', { name: 'A key', service_account_id: id });
    expectProblem(refused, 'service_account.inactive');
    await ours.owner.client.put(`${path}/${id}`, { is_active: true });
    expect(await verdictOf(key.secret)).toBe('VALID');
  });

  it('DELETE ends the account with its keys', async () => {
    const id = await serviceAccount(ours.owner.client, ours.projectId);
    const key = await keyOf(id);
    const answer = await ours.owner.client.delete(`${path}/${id}`);
    expect(answer.status).toBe(200);
    expect(await verdictOf(key.secret)).toBe('NOT_FOUND');
    expectProblem(await ours.owner.client.get(`/api-keys/${key.id}`), 'api_key.not_found');
    expectProblem(await ours.owner.client.get(`${path}/${id}`), 'service_account.not_found');
  });

  it('a key of an account says that it is one, is in the project of the account, and does no more than the account may', async () => {
    const id = await serviceAccount(ours.owner.client, ours.projectId, ['platform:api-keys:read']);
    const key = await keyOf(id, { scopes: ['platform:api-keys:*', 'chat'] });
    expect(key.body).toMatchObject({
      user_id: id,
      owner_kind: 'service',
      project_id: ours.projectId,
      organization_id: ours.organizationId,
    });
    expect((await ours.owner.client.get(`/api-keys/${key.id}`)).body).toMatchObject({
      owner_kind: 'service',
    });
    const asAccount = app.anonymous.withApiKey(key.secret);
    expect((await asAccount.get(`/api-keys/${key.id}`)).status).toBe(200);
    expectProblem(await asAccount.put(`/api-keys/${key.id}`, { name: 'Other' }), 'permission.denied');
    expectProblem(await asAccount.post('/api-keys', { name: 'Other' }), 'permission.denied');
  });

  it('only who may create keys in the project creates one for its account, within what they hold there', async () => {
    const id = await serviceAccount(ours.owner.client, ours.projectId, ['platform:api-keys:verify']);
    const body = { name: 'A key', service_account_id: id };
    const viewer = (await memberOf(app, `/projects/${ours.projectId}`, 'project_viewer')).client;
    expectProblem(await viewer.post('/api-keys', body), 'permission.denied');
    const admin = (await memberOf(app, `/projects/${ours.projectId}`, 'project_admin')).client;
    const wide = { ...body, scopes: ['platform:api-keys:verify'] };
    expectProblem(await admin.post('/api-keys', wide), 'permission.denied');
    expect((await admin.post('/api-keys', body)).status).toBe(201);
    const stranger = (await team(app)).owner.client;
    expectProblem(await stranger.post('/api-keys', body), 'service_account.not_found');
    expectProblem(
      await ours.owner.client.post('/api-keys', { ...body, project_id: 1 }),
      'service_account.not_found',
    );
    const person = { ...body, service_account_id: ours.owner.id };
    expectProblem(await ours.owner.client.post('/api-keys', person), 'service_account.not_found');
  });

  it('a new secret of a key that serves the whole organization is given to nobody who may not do that there', async () => {
    const id = await serviceAccount(ours.owner.client, ours.projectId, ['platform:api-keys:verify']);
    const key = await keyOf(id, { scopes: ['platform:api-keys:verify'] });
    const admin = (await memberOf(app, `/projects/${ours.projectId}`, 'project_admin')).client;
    expectProblem(await admin.post(`/api-keys/${key.id}/regenerate`, {}), 'permission.denied');
    expect((await ours.owner.client.post(`/api-keys/${key.id}/regenerate`, {})).status).toBe(200);
  });

  it('its keys live on when the person who created both is deleted', async () => {
    const creator = await memberOf(app, `/organizations/${ours.organizationId}`, 'org_admin');
    const id = await serviceAccount(creator.client, ours.projectId);
    const key = await app.apiKey(creator.client, { service_account_id: id });
    const personal = await app.apiKey(creator.client, { project_id: ours.projectId });
    expect((await app.admin.delete(`/users/${creator.id}`)).status).toBe(200);
    expect(await verdictOf(personal.secret)).toBe('NOT_FOUND');
    expect(await verdictOf(key.secret)).toBe('VALID');
    expect((await ours.owner.client.get(`${path}/${id}`)).body).toMatchObject({ is_active: true });
  });

  it('an account is no user: users do not list it, and neither show nor change it', async () => {
    const before = (await app.admin.get('/users?size=100')).body;
    const id = await serviceAccount(app.admin, ours.projectId);
    const after = (await app.admin.get('/users?size=100')).body;
    expect(after).toEqual(before);
    expectProblem(await app.admin.get(`/users/${id}`), 'user.not_found');
    expectProblem(await app.admin.put(`/users/${id}`, { role: 'admin' }), 'user.not_found');
    const password = { new_password: USER_PASSWORD };
    expectProblem(await app.admin.put(`/users/${id}/password`, password), 'user.not_found');
    expectProblem(await app.admin.delete(`/users/${id}`), 'user.not_found');
  });

  it('an account is no member of anything', async () => {
    const id = await serviceAccount(app.admin, ours.projectId);
    const body = { user_id: id, role: 'org_owner' };
    expectProblem(
      await app.admin.post(`/organizations/${ours.organizationId}/members`, body),
      'user.not_found',
    );
  });

  it('an account cannot log in, however its row came to be, nor is its password reset', async () => {
    const name = newName();
    const { body } = await ours.owner.client.post(path, { name });
    const username = `${ours.projectId}:${name}`;
    for (const password of ['', USER_PASSWORD, name]) {
      const answer = await app.anonymous.post('/auth/login', { username, password });
      if (password === '')
        expectInvalid(answer, { field: 'password', message: 'must be 1 to 256 characters long' });
      else expectProblem(answer, 'auth.login_failed');
    }
    // A hash that somebody wrote past the service, and the role of an admin.
    await app.database.query(
      `UPDATE users SET role = 'admin', password_hash = (SELECT password_hash FROM users WHERE id = $2) WHERE id = $1`,
      [body['id'], ours.owner.id],
    );
    const stolen = await app.anonymous.post('/auth/login', { username, password: USER_PASSWORD });
    expectProblem(stolen, 'auth.login_failed');
    const recovery = app.app.get(AdminRecovery, { strict: false });
    await expect(recovery.resetPassword(username)).rejects.toMatchObject({ code: 'user.not_found' });
  });
});
