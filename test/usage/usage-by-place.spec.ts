import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { expectProblem } from '../support/problems.js';
import { keyIn, newMember, newTenant, type Tenant } from '../support/tenants.js';
import { TestApp, type TestUser } from '../support/test-app.js';
import { usageEvent } from '../support/usage-events.js';

describe('usage by organization, project, user, model and tag', () => {
  let app: TestApp;
  let tenant: Tenant;
  let foreign: Tenant;
  let owner: TestUser;
  let viewer: TestUser;
  beforeAll(async () => {
    app = await TestApp.start();
    [tenant, foreign] = [await newTenant(app), await newTenant(app)];
    owner = await newMember(app, tenant, 'org_owner');
    viewer = await newMember(app, tenant, 'project_viewer');
    const stranger = await newMember(app, foreign, 'org_owner');
    const report = async (
      user: TestUser,
      projectId: number,
      tags: string[],
      model: string,
      cents: number,
    ) => {
      const { id } = await keyIn(app, user, projectId, { tags });
      await app.admin.post('/usage', usageEvent(id, { model, cost_cents: cents }));
    };
    await report(owner, tenant.projectId, ['a', 'b'], 'small', 100);
    await report(owner, tenant.otherProjectId, ['b'], 'large', 20);
    await report(stranger, foreign.projectId, ['a'], 'large', 3);
  });
  afterAll(() => app.stop());

  /** The cost of each group in cents, by its id, the costliest first. */
  async function costs(client: TestUser['client'], query: string): Promise<[string | null, number][]> {
    const { status, body } = await client.get(`/usage/summary?${query}`);
    expect(status).toBe(200);
    const groups = body['groups'] as { id: string | null; cost_cents: number }[];
    return groups.map((group) => [group.id, group.cost_cents]);
  }

  it('is summed up for whoever may read everything', async () => {
    const [one, two] = [String(tenant.organizationId), String(foreign.organizationId)];
    expect(await costs(app.admin, 'group_by=organization')).toEqual([
      [one, 120],
      [two, 3],
    ]);
    expect(await costs(app.admin, 'group_by=project')).toEqual([
      [String(tenant.projectId), 100],
      [String(tenant.otherProjectId), 20],
      [String(foreign.projectId), 3],
    ]);
    expect((await costs(app.admin, 'group_by=user'))[0]).toEqual([String(owner.id), 120]);
    expect(await costs(app.admin, 'group_by=model')).toEqual([
      ['small', 100],
      ['large', 23],
    ]);
    expect(await costs(app.admin, 'group_by=tag')).toEqual([
      ['b', 120],
      ['a', 103],
    ]);
  });

  it('is summed up for members as far as they may read keys, and no further', async () => {
    expect(await costs(owner.client, 'group_by=organization')).toEqual([
      [String(tenant.organizationId), 120],
    ]);
    expect(await costs(viewer.client, 'group_by=project')).toEqual([[String(tenant.projectId), 100]]);
    const total = (await viewer.client.get('/usage/summary')).body['total'];
    expect(total).toMatchObject({ cost_cents: 100 });
    expect(await costs(viewer.client, `group_by=model&organization_id=${foreign.organizationId}`)).toEqual(
      [],
    );
    const plain = await app.user();
    expectProblem(await plain.client.get(`/usage/summary?user_id=${owner.id}`), 'permission.denied');
  });

  it('is narrowed to a place', async () => {
    const query = `group_by=model&project_id=${tenant.otherProjectId}`;
    expect(await costs(app.admin, query)).toEqual([['large', 20]]);
    const narrowed = await app.admin.get(`/usage/summary?organization_id=${tenant.organizationId}`);
    expect(narrowed.body['total']).toMatchObject({ cost_cents: 120 });
    expect(narrowed.body['groups']).toBeUndefined();
  });
});
