import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { expectOneAuditRow } from '../support/audit-trail.js';
import { memberOf, project, serviceAccount, team, type TestTeam } from '../support/organizations.js';
import { expectInvalid, expectProblem } from '../support/problems.js';
import { usageEvent } from '../support/usage-events.js';
import { TestApp, type TestApiKey } from '../support/test-app.js';

describe('POST /api-keys/:id/transfer', () => {
  let app: TestApp;
  let ours: TestTeam;
  let organization: string;
  beforeAll(async () => {
    app = await TestApp.start();
    ours = await team(app);
    organization = `/organizations/${ours.organizationId}`;
  });
  afterAll(() => app.stop());

  const verdictOf = async ({ secret }: TestApiKey) =>
    (await app.admin.post('/api-keys/verify', { key: secret })).body['code'];
  const transfer = (key: TestApiKey, body: unknown, client = ours.owner.client, headers = {}) =>
    client.post(`/api-keys/${key.id}/transfer`, body, headers);
  const ourKey = (fields: Record<string, unknown> = {}, client = ours.owner.client) =>
    app.apiKey(client, { project_id: ours.projectId, ...fields });

  it('the keys of a removed member are disabled with their reason, found, transferred to a service account and activated', async () => {
    const leaver = await memberOf(app, `/projects/${ours.projectId}`, 'project_developer');
    const key = await ourKey({}, leaver.client);
    await app.admin.delete(`/projects/${ours.projectId}/members/${leaver.id}`);
    expect(await verdictOf(key)).toBe('DISABLED');
    const found = await ours.owner.client.get(
      `/api-keys?inactive_reason=owner_left&project_id=${ours.projectId}`,
    );
    expect(found.body).toMatchObject({ total: 1, api_keys: [{ id: key.id, inactive_reason: 'owner_left' }] });
    const account = await serviceAccount(ours.owner.client, ours.projectId);
    const answer = await transfer(key, { service_account_id: account });
    expect([answer.status, answer.body]).toEqual([
      200,
      {
        ...key.body,
        user_id: account,
        owner_kind: 'service',
        is_active: false,
        state: 'inactive',
        inactive_reason: 'owner_left',
        updated_at: expect.any(String),
      },
    ]);
    expect(await verdictOf(key)).toBe('DISABLED');
    expect((await ours.owner.client.post(`/api-keys/${key.id}/activate`)).status).toBe(200);
    expect(await verdictOf(key)).toBe('VALID');
    const after = (await ours.owner.client.get(`/api-keys/${key.id}`)).body;
    expect(after).toMatchObject({ is_active: true, inactive_reason: null, owner_kind: 'service' });
    await expectOneAuditRow(app.database, answer, {
      action: 'transfer_api_key',
      resource_id: String(key.id),
      user_id: ours.owner.id,
      details: {
        name: 'A key',
        updated_fields: ['user_id', 'project_id'],
        before_values: { user_id: leaver.id, project_id: ours.projectId },
        after_values: { user_id: account, project_id: ours.projectId },
      },
    });
  });

  it('a member who gets a key owns it: they activate it and lose it when they leave', async () => {
    const [leaver, heir] = [
      await memberOf(app, organization, 'org_admin'),
      await memberOf(app, `/projects/${ours.projectId}`, 'project_viewer'),
    ];
    const key = await ourKey({}, leaver.client);
    await app.admin.delete(`${organization}/members/${leaver.id}`);
    expect((await transfer(key, { user_id: heir.id })).body).toMatchObject({ user_id: heir.id });
    expect((await heir.client.post(`/api-keys/${key.id}/activate`)).status).toBe(200);
    expect(await verdictOf(key)).toBe('VALID');
    expectProblem(await leaver.client.get(`/api-keys/${key.id}`), 'api_key.not_found');
    await app.admin.delete(`/projects/${ours.projectId}/members/${heir.id}`);
    expect(await verdictOf(key)).toBe('DISABLED');
  });

  it('secret, limits, budget, history and the totals of lists stay right', async () => {
    const [giver, taker] = [await app.user(), await app.user()];
    const limits = { rate_limit_per_minute: 9, is_unlimited: false, budget_limit_cents: 500 };
    const key = await app.apiKeyOf(giver, limits);
    await app.admin.post('/usage', [usageEvent(key.id, { cost_cents: 120 })]);
    const before = (await app.admin.get(`/api-keys/${key.id}`)).body;
    const answer = await transfer(key, { user_id: taker.id }, app.admin);
    expect(answer.body).toEqual({ ...before, user_id: taker.id, updated_at: expect.any(String) });
    expect(before).toMatchObject({ total_cost_cents: 120, budget_limit_cents: 500 });
    const totals = async (userId: number) =>
      (await app.admin.get(`/api-keys?user_id=${userId}`)).body['total'];
    expect([await totals(giver.id), await totals(taker.id)]).toEqual([0, 1]);
    expect(await verdictOf(key)).toBe('VALID');
    expect((await taker.client.get('/api-keys')).body).toMatchObject({
      total: 1,
      api_keys: [{ id: key.id }],
    });
  });

  it('the keys that it created move along, and act where it acts', async () => {
    const scopes = ['platform:api-keys:*'];
    const key = await ourKey({ scopes });
    const asKey = app.anonymous.withApiKey(key.secret);
    const child = await app.apiKey(asKey, { scopes });
    const grandchild = await app.apiKey(app.anonymous.withApiKey(child.secret));
    const deleted = await app.apiKey(asKey);
    await ours.owner.client.delete(`/api-keys/${deleted.id}`);
    const elsewhere = await project(app.admin, ours.organizationId);
    const account = await serviceAccount(ours.owner.client, elsewhere);
    expectProblem(await transfer(child, { service_account_id: account }), 'api_key.has_parent');
    const answer = await transfer(key, { service_account_id: account });
    expect(answer.body).toMatchObject({ project_id: elsewhere, user_id: account });
    for (const { id } of [child, grandchild])
      expect((await ours.owner.client.get(`/api-keys/${id}`)).body).toMatchObject({
        project_id: elsewhere,
        user_id: account,
        owner_kind: 'service',
      });
    expect(await verdictOf(grandchild)).toBe('VALID');
  });

  it('a key moves to another organization only for who may take it out of one and put it into the other', async () => {
    const theirs = await team(app);
    const key = await ourKey();
    const body = { user_id: theirs.owner.id, project_id: theirs.projectId };
    expectProblem(await transfer(key, body), 'project.not_found');
    expectProblem(await transfer(key, body, theirs.owner.client), 'api_key.not_found');
    const answer = await transfer(key, body, app.admin);
    expect(answer.body).toMatchObject({ organization_id: theirs.organizationId, user_id: theirs.owner.id });
    expectProblem(await ours.owner.client.get(`/api-keys/${key.id}`), 'api_key.not_found');
    expect((await theirs.owner.client.get(`/api-keys/${key.id}`)).status).toBe(200);
  });

  it('who may not change keys there, or not create them, transfers none', async () => {
    const key = await ourKey();
    const account = await serviceAccount(ours.owner.client, ours.projectId);
    for (const role of ['project_viewer', 'project_developer']) {
      const { client } = await memberOf(app, `/projects/${ours.projectId}`, role);
      expectProblem(await transfer(key, { service_account_id: account }, client), 'permission.denied');
    }
    const updater = await app.user({ permissions: ['platform:api-keys:update'] });
    expectProblem(await transfer(key, { user_id: ours.owner.id }, updater.client), 'project.not_found');
  });

  it('the platform scopes of a key must be held where it is to act', async () => {
    const key = await app.apiKey(app.admin, {
      project_id: ours.projectId,
      scopes: ['platform:users:delete'],
    });
    const account = await serviceAccount(ours.owner.client, ours.projectId);
    expectProblem(await transfer(key, { service_account_id: account }), 'permission.denied');
    expect((await transfer(key, { service_account_id: account }, app.admin)).status).toBe(200);
  });

  it('nobody makes a key that acts everywhere of what they hold in the default organization alone', async () => {
    const manager = await app.user();
    await app.admin.put(`/organizations/1/members/${manager.id}`, { role: 'org_admin' });
    const key = await app.apiKey(manager.client, { scopes: ['platform:api-keys:delete'] });
    expectProblem(await transfer(key, { user_id: 1 }, manager.client), 'permission.denied');
    const others = await app.apiKey(app.admin, { scopes: ['platform:api-keys:delete'] });
    expectProblem(await manager.client.post(`/api-keys/${others.id}/regenerate`, {}), 'permission.denied');
    const plain = await app.apiKey(manager.client);
    expect((await transfer(plain, { user_id: 1 }, manager.client)).status).toBe(200);
  });

  it('the new owner is an active member there, or in the default organization any active person', async () => {
    const key = await ourKey();
    const stranger = await app.user();
    const account = await serviceAccount(ours.owner.client, ours.projectId);
    const disabled = await memberOf(app, organization, 'org_member');
    await app.admin.put(`/users/${disabled.id}`, { is_active: false });
    for (const userId of [stranger.id, disabled.id, account, 999_999])
      expectProblem(await transfer(key, { user_id: userId }), 'user.not_found');
    for (const id of [ours.owner.id, 999_999])
      expectProblem(await transfer(key, { service_account_id: id }), 'service_account.not_found');
    const misplaced = {
      service_account_id: account,
      project_id: await project(app.admin, ours.organizationId),
    };
    expectProblem(await transfer(key, misplaced), 'service_account.not_found');
    await ours.owner.client.put(`/projects/${ours.projectId}/service-accounts/${account}`, {
      is_active: false,
    });
    expectProblem(await transfer(key, { service_account_id: account }), 'service_account.inactive');
    const plain = await app.apiKey();
    expect((await transfer(plain, { user_id: stranger.id }, app.admin)).status).toBe(200);
  });

  it('names exactly one new owner', async () => {
    const key = await ourKey();
    expectInvalid(await transfer(key, {}), {
      field: 'user_id',
      message: 'is required unless service_account_id is given',
    });
    expectInvalid(await transfer(key, { user_id: 1, service_account_id: 1 }), {
      field: 'user_id',
      message: 'must not be given beside service_account_id',
    });
  });

  it('is for the version that the caller knows, and changes nothing when it is repeated', async () => {
    const key = await ourKey();
    const heir = await memberOf(app, organization, 'org_member');
    const body = { user_id: heir.id };
    expectProblem(
      await transfer(key, body, ours.owner.client, { 'if-match': '"7"' }),
      'api_key.version_mismatch',
    );
    const first = await transfer(key, body, ours.owner.client, { 'if-match': '"1"' });
    expect([first.status, first.headers.get('etag')]).toEqual([200, '"2"']);
    const again = await transfer(key, body);
    expect([again.body, again.headers.get('etag')]).toEqual([first.body, '"2"']);
  });

  it('a key with a restriction transfers none; one without any does what it may', async () => {
    const account = await serviceAccount(ours.owner.client, ours.projectId);
    const scopes = ['platform:api-keys:update', 'platform:api-keys:create'];
    const bound = await ourKey({ scopes, allowed_models: ['gpt-4*'] });
    const free = await ourKey({ scopes });
    const key = await ourKey();
    const body = { service_account_id: account };
    expectProblem(await transfer(key, body, app.anonymous.withApiKey(bound.secret)), 'permission.denied');
    expect((await transfer(key, body, app.anonymous.withApiKey(free.secret))).status).toBe(200);
  });
});
