import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { auditRowsOf } from '../support/audit-trail.js';
import { expectInvalid, expectProblem } from '../support/problems.js';
import { join, keyIn, newMember, newTenant, type Tenant } from '../support/tenants.js';
import { TestApp, type TestUser } from '../support/test-app.js';
import { codeOf, settle } from '../verification/verdicts.js';

describe('organizations and projects', () => {
  let app: TestApp;
  let tenant: Tenant;
  let owner: TestUser;
  beforeAll(async () => {
    app = await TestApp.start();
    tenant = await newTenant(app);
    owner = await newMember(app, tenant, 'org_owner');
  });
  afterAll(() => app.stop());

  it('begin with a default one, which holds all keys that name no other place, and can be neither disabled nor deleted', async () => {
    const key = await app.apiKey();
    expect([key.body['organization_id'], key.body['project_id']]).toEqual([1, 1]);
    expect((await app.admin.get('/organizations/1')).body).toMatchObject({
      slug: 'default',
      is_active: true,
    });
    for (const kind of ['organization', 'project'] as const) {
      const refused = [
        await app.admin.put(`/${kind}s/1`, { is_active: false }),
        await app.admin.delete(`/${kind}s/1`),
      ];
      for (const answer of refused)
        if (answer.body['code'] !== `${kind}.not_empty`) expectProblem(answer, `${kind}.is_default`);
    }
  });

  it('keep their slugs and external ids apart, of projects within an organization', async () => {
    const acme = { slug: 'acme', name: 'Acme', external_id: 'cus_1' };
    expect((await app.admin.post('/organizations', acme)).status).toBe(201);
    for (const same of [{ slug: 'acme' }, { external_id: 'cus_1' }]) {
      const other = { slug: 'other', name: 'Other', external_id: 'cus_2', ...same };
      expectProblem(await app.admin.post('/organizations', other), 'organization.slug_taken');
    }
    const { organizationId } = tenant;
    expectProblem(
      await app.admin.put(`/organizations/${organizationId}`, { slug: 'acme' }),
      'organization.slug_taken',
    );
    const project = { slug: 'one', name: 'One' };
    expectProblem(
      await app.admin.post(`/organizations/${organizationId}/projects`, project),
      'project.slug_taken',
    );
    expect((await app.admin.post('/organizations/1/projects', project)).status).toBe(201);
    const found = await app.admin.get('/organizations?external_id=cus_1');
    expect(found.body).toMatchObject({ total: 1, organizations: [acme] });
    for (const slug of ['A', 'a', 'Acme', 'a_b', 'a'.repeat(41)])
      expect((await app.admin.post('/organizations', { slug, name: 'x' })).status).toBe(422);
    expectInvalid(await app.admin.post('/organizations', { slug: 'fine' }), {
      field: 'name',
      message: 'is required',
    });
  });

  it('change under their version, and say in the audit log what changed', async () => {
    for (const [kind, path] of [
      ['organization', `/organizations/${tenant.organizationId}`],
      ['project', `/projects/${tenant.otherProjectId}`],
    ] as const) {
      const etag = (await owner.client.get(path)).headers.get('etag')!;
      const changed = await owner.client.send('PUT', path, {
        body: { name: 'Renamed' },
        headers: { 'if-match': etag },
      });
      expect([changed.status, changed.body['name']]).toEqual([200, 'Renamed']);
      const stale = await owner.client.send('PUT', path, {
        body: { name: 'Again' },
        headers: { 'if-match': etag },
      });
      expectProblem(stale, `${kind}.version_mismatch`);
      const [row] = await auditRowsOf(app.database, changed);
      expect(row).toMatchObject({
        action: `update_${kind}`,
        details: { updated_fields: ['name'], after_values: { name: 'Renamed' } },
        organization_id: tenant.organizationId,
      });
    }
  });

  it('refuse all their keys while they are disabled, and revive them after', async () => {
    const key = await keyIn(app, owner, tenant.projectId, { scopes: ['platform:api-keys:read'] });
    const other = await keyIn(app, owner, tenant.otherProjectId);
    const codes = async () => [await codeOf(app.admin, key.secret), await codeOf(app.admin, other.secret)];
    expect(await codes()).toEqual(['VALID', 'VALID']);
    await owner.client.put(`/projects/${tenant.projectId}`, { is_active: false });
    await settle(app);
    expect(await codes()).toEqual(['DISABLED', 'VALID']);
    expectProblem(await app.anonymous.withApiKey(key.secret).get('/auth/me'), 'auth.credential_invalid');
    expectProblem(
      await owner.client.post('/api-keys', { name: 'x', project_id: tenant.projectId }),
      'project.inactive',
    );
    await owner.client.put(`/projects/${tenant.projectId}`, { is_active: true });
    await app.admin.put(`/organizations/${tenant.organizationId}`, { is_active: false });
    await settle(app);
    expect(await codes()).toEqual(['DISABLED', 'DISABLED']);
    await app.admin.put(`/organizations/${tenant.organizationId}`, { is_active: true });
    await settle(app);
    expect(await codes()).toEqual(['VALID', 'VALID']);
  });

  it('are disabled and enabled by the platform alone where they are whole organizations', async () => {
    const path = `/organizations/${tenant.organizationId}`;
    expectProblem(await owner.client.put(path, { is_active: false }), 'permission.denied');
    expect((await owner.client.put(path, { is_active: true })).status).toBe(200);
  });

  it('are deleted only when they are empty, and their members lose what they could do there', async () => {
    const empty = await newTenant(app);
    const member = await newMember(app, empty, 'org_owner');
    const key = await keyIn(app, member, empty.projectId);
    expectProblem(await app.admin.delete(`/organizations/${empty.organizationId}`), 'organization.not_empty');
    expectProblem(await app.admin.delete(`/projects/${empty.projectId}`), 'project.not_empty');
    await app.admin.delete(`/api-keys/${key.id}`);
    for (const id of [empty.projectId, empty.otherProjectId])
      expect((await member.client.delete(`/projects/${id}`)).status).toBe(200);
    expect((await member.client.delete(`/organizations/${empty.organizationId}`)).status).toBe(200);
    expectProblem(
      await member.client.get(`/organizations/${empty.organizationId}`),
      'organization.not_found',
    );
    expect((await member.client.get('/organizations')).body['total']).toBe(1);
  });

  it('are owned by who creates them and could not change them otherwise', async () => {
    const founder = await app.user({ permissions: ['platform:organizations:create'] });
    const { body } = await founder.client.post('/organizations', { slug: 'founded', name: 'Founded' });
    const members = await founder.client.get(`/organizations/${String(body['id'])}/members`);
    expect(members.body['members']).toMatchObject([{ user_id: founder.id, role: 'org_owner' }]);
    const byAdmin = await app.admin.post('/organizations', { slug: 'by-admin', name: 'By an admin' });
    expect((await app.admin.get(`/organizations/${String(byAdmin.body['id'])}/members`)).body['total']).toBe(
      0,
    );
  });

  it('show their part of the audit log to their auditors, and no other part', async () => {
    const auditor = await newMember(app, tenant, 'org_auditor');
    const foreign = await newTenant(app);
    const own = (await auditor.client.get('/audit-logs?limit=200')).body['audit_logs'] as {
      organization_id: number;
    }[];
    expect(own.length).toBeGreaterThan(3);
    expect(new Set(own.map((row) => row.organization_id))).toEqual(new Set([tenant.organizationId]));
    expectProblem(
      await auditor.client.get(`/audit-logs?organization_id=${foreign.organizationId}`),
      'permission.denied',
    );
    const narrowed = await app.admin.get(`/audit-logs?organization_id=${foreign.organizationId}`);
    expect(narrowed.body['audit_logs'].length).toBeGreaterThan(1);
    const developer = await app.user();
    await join(app, tenant, developer, 'project_developer');
    expectProblem(await developer.client.get('/audit-logs'), 'permission.denied');
  });
});
