import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { auditRowsOf } from '../support/audit-trail.js';
import { expectProblem } from '../support/problems.js';
import { join, keyIn, newMember, newTenant, type Tenant } from '../support/tenants.js';
import { TestApp, type TestUser } from '../support/test-app.js';
import { codeOf, settle } from '../verification/verdicts.js';

describe('members of organizations and projects', () => {
  let app: TestApp;
  let tenant: Tenant;
  let owner: TestUser;
  let members: string;
  beforeAll(async () => {
    app = await TestApp.start();
    tenant = await newTenant(app);
    owner = await newMember(app, tenant, 'org_owner');
    members = `/organizations/${tenant.organizationId}/members`;
  });
  afterAll(() => app.stop());

  it('are added by whoever may read all users, or from within the organization: others are invited', async () => {
    const outsider = await app.user();
    const body = { user_id: outsider.id, role: 'org_member' };
    expectProblem(await owner.client.post(members, body), 'user.not_found');
    expect((await app.admin.post(members, body)).status).toBe(201);
    expectProblem(await app.admin.post(members, body), 'member.exists');
    const inProject = await owner.client.post(`/projects/${tenant.projectId}/members`, {
      user_id: outsider.id,
      role: 'project_viewer',
    });
    expect(inProject.status).toBe(201);
    expect(inProject.body).toMatchObject({
      username: outsider.username,
      role: 'project_viewer',
      organization_id: tenant.organizationId,
      project_id: tenant.projectId,
    });
    const [row] = await auditRowsOf(app.database, inProject);
    expect(row).toMatchObject({
      action: 'add_project_member',
      resource_id: String(outsider.id),
      details: { project_id: tenant.projectId, role: 'project_viewer' },
      organization_id: tenant.organizationId,
    });
  });

  it('get no role that allows more than the giver holds there, nor lose one', async () => {
    const admin = await newMember(app, tenant, 'org_admin');
    const lead = await newMember(app, tenant, 'project_admin');
    const person = await newMember(app, tenant, 'org_member');
    const asOwner = { user_id: person.id, role: 'org_owner' };
    expectProblem(await admin.client.put(`${members}/${person.id}`, asOwner), 'validation.failed');
    expectProblem(
      await admin.client.put(`${members}/${person.id}`, { role: 'org_owner' }),
      'permission.denied',
    );
    expectProblem(
      await admin.client.put(`${members}/${owner.id}`, { role: 'org_member' }),
      'permission.denied',
    );
    expectProblem(await admin.client.delete(`${members}/${owner.id}`), 'permission.denied');
    expectProblem(
      await lead.client.put(`${members}/${person.id}`, { role: 'org_auditor' }),
      'permission.denied',
    );
    expect((await admin.client.put(`${members}/${person.id}`, { role: 'org_auditor' })).status).toBe(200);
    expect((await admin.client.delete(`${members}/${person.id}`)).status).toBe(200);
  });

  it('keep the last owner, also when two owners remove each other at once', async () => {
    const small = await newTenant(app);
    const path = `/organizations/${small.organizationId}/members`;
    const [one, two] = [await newMember(app, small, 'org_owner'), await newMember(app, small, 'org_owner')];
    const answers = await Promise.all([
      one.client.delete(`${path}/${two.id}`),
      two.client.delete(`${path}/${one.id}`),
    ]);
    const left = (await app.admin.get(path)).body['members'] as { user_id: number }[];
    expect(left).toHaveLength(1);
    expect(answers.some(({ status }) => status === 200)).toBe(true);
    const last = left[0]!.user_id === one.id ? one : two;
    expectProblem(await last.client.delete(`${path}/${last.id}`), 'organization.last_owner');
    expectProblem(
      await last.client.put(`${path}/${last.id}`, { role: 'org_admin' }),
      'organization.last_owner',
    );
  });

  it('may leave by themselves with a session; then their personal keys there are inactive, and nobody else’s', async () => {
    const person = await newMember(app, tenant, 'project_developer');
    await join(app, tenant, person, 'org_member');
    const [here, elsewhere] = [
      await keyIn(app, person, tenant.projectId, { scopes: ['platform:members:delete'] }),
      await app.apiKeyOf(person),
    ];
    const byKey = app.anonymous.withApiKey(here.secret);
    expect((await byKey.delete(`${members}/${person.id}`)).status).toBe(403);
    const left = await person.client.delete(`${members}/${person.id}`);
    expect(left.status).toBe(200);
    await settle(app);
    expect(await codeOf(app.admin, here.secret)).toBe('DISABLED');
    expect(await codeOf(app.admin, elsewhere.secret)).toBe('VALID');
    expect((await app.admin.get(`/api-keys/${here.id}`)).body).toMatchObject({
      is_active: false,
      inactive_reason: 'owner_left',
    });
    const actions = (await auditRowsOf(app.database, left)).map(({ action, resource_id }) => [
      action,
      resource_id,
    ]);
    expect(new Map(actions.map(([action, id]) => [action, id]))).toEqual(
      new Map([
        ['deactivate_api_key', String(here.id)],
        ['remove_organization_member', String(person.id)],
      ]),
    );
    // What they could do there is gone at once, also with the key of their own.
    expectProblem(await person.client.post(`/api-keys/${here.id}/activate`), 'api_key.not_found');
    expectProblem(await person.client.get(`/projects/${tenant.projectId}`), 'project.not_found');
  });

  it('lose a project with their keys in it, and keep the others', async () => {
    const person = await newMember(app, tenant, 'project_developer');
    await app.admin.post(`/projects/${tenant.otherProjectId}/members`, {
      user_id: person.id,
      role: 'project_developer',
    });
    const [lost, kept] = [
      await keyIn(app, person, tenant.projectId),
      await keyIn(app, person, tenant.otherProjectId),
    ];
    expect((await owner.client.delete(`/projects/${tenant.projectId}/members/${person.id}`)).status).toBe(
      200,
    );
    await settle(app);
    expect([await codeOf(app.admin, lost.secret), await codeOf(app.admin, kept.secret)]).toEqual([
      'DISABLED',
      'VALID',
    ]);
  });

  it('end with their user, whose invitations end too', async () => {
    const person = await newMember(app, tenant, 'org_admin');
    await app.admin.delete(`/users/${person.id}`);
    const rows = await app.database.query('SELECT FROM memberships WHERE user_id = $1', [person.id]);
    expect(rows).toEqual([]);
  });

  it('of the default organization are all persons, however they are created', async () => {
    const [{ id } = { id: 0 }] = await app.database.query<{ id: number }>(
      `INSERT INTO users (username, password_hash, role) VALUES ('by-sql', '', 'user') RETURNING id`,
    );
    expect(await app.database.query('SELECT role FROM memberships WHERE user_id = $1', [id])).toEqual([
      { role: 'org_member' },
    ]);
  });
});
