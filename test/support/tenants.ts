import type { TestApp, TestApiKey, TestUser } from './test-app.js';

/** An organization with two projects, the second of which nobody is a member of. */
export interface Tenant {
  readonly organizationId: number;
  readonly projectId: number;
  readonly otherProjectId: number;
}

let made = 0;

/** A new organization with two projects. */
export async function newTenant(app: TestApp): Promise<Tenant> {
  const slug = `tenant-${(made += 1)}`;
  const organization = await app.admin.post('/organizations', { slug, name: slug });
  const organizationId = idOf(organization);
  const project = async (name: string) =>
    idOf(await app.admin.post(`/organizations/${organizationId}/projects`, { slug: name, name }));
  return { organizationId, projectId: await project('one'), otherProjectId: await project('two') };
}

/** A new user with a role in a tenant: `org_…` in all of it, `project_…` in its first project. */
export async function newMember(app: TestApp, tenant: Tenant, role: string): Promise<TestUser> {
  const user = await app.user();
  await join(app, tenant, user, role);
  return user;
}

/** Gives a user a role in a tenant. */
export async function join(app: TestApp, tenant: Tenant, user: TestUser, role: string): Promise<void> {
  const place = role.startsWith('org_')
    ? `/organizations/${tenant.organizationId}`
    : `/projects/${tenant.projectId}`;
  const answer = await app.admin.post(`${place}/members`, { user_id: user.id, role });
  if (answer.status !== 201) throw new Error(`${role} was not given: ${answer.text}`);
}

/** A key of a user in a project, created while they briefly could. */
export async function keyIn(
  app: TestApp,
  user: TestUser,
  projectId: number,
  fields: Record<string, unknown> = {},
): Promise<TestApiKey> {
  return app.apiKeyOf(user, { project_id: projectId, ...fields });
}

function idOf({
  status,
  body,
  text,
}: {
  status: number;
  body: Record<string, unknown>;
  text: string;
}): number {
  if (status !== 201) throw new Error(`It was not created: ${text}`);
  return body['id'] as number;
}
