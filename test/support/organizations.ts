import { randomBytes } from 'node:crypto';
import type { ApiClient } from './api-client.js';
import { logIn, type TestApp, type TestUser, USER_PASSWORD } from './test-app.js';

/** An organization of its own with one project, and one member with each of two roles. */
export interface TestTeam {
  readonly organizationId: number;
  readonly projectId: number;
  /** The role `org_owner`; no user of the default organization's. */
  readonly owner: TestUser;
}

/** A new organization with a project and an owner who may do nothing elsewhere. */
export async function team(app: TestApp): Promise<TestTeam> {
  const slug = `org-${randomBytes(4).toString('hex')}`;
  const organizationId = await idOf(app.admin, '/organizations', { slug, name: slug });
  const projectId = await project(app.admin, organizationId);
  return {
    organizationId,
    projectId,
    owner: await memberOf(app, `/organizations/${organizationId}`, 'org_owner'),
  };
}

/** A further project of an organization. */
export async function project(client: ApiClient, organizationId: number): Promise<number> {
  const slug = `project-${randomBytes(4).toString('hex')}`;
  return idOf(client, `/organizations/${organizationId}/projects`, { slug, name: slug });
}

/** A new user with a role in what a path names. */
export async function memberOf(app: TestApp, path: string, role: string): Promise<TestUser> {
  const user = await app.user();
  const answer = await app.admin.post(`${path}/members`, { user_id: user.id, role });
  if (answer.status !== 201) throw new Error(`The member was not added: ${answer.text}`);
  return user;
}

/** A new service account of a project. */
export async function serviceAccount(
  client: ApiClient,
  projectId: number,
  permissions: readonly string[] = [],
): Promise<number> {
  const name = `account-${randomBytes(4).toString('hex')}`;
  return idOf(client, `/projects/${projectId}/service-accounts`, { name, permissions });
}

/** The token of a new invitation to what a path names. */
export async function invitation(
  client: ApiClient,
  path: string,
  username: string,
  role: string,
): Promise<string> {
  const answer = await client.post(`${path}/invitations`, { username, role });
  if (answer.status !== 201) throw new Error(`The invitation was not sent: ${answer.text}`);
  return String(answer.body['token']);
}

/** A session of a user with the usual password. */
export function session(app: TestApp, username: string): Promise<ApiClient> {
  return logIn(app.anonymous, username, USER_PASSWORD);
}

async function idOf(client: ApiClient, path: string, body: unknown): Promise<number> {
  const answer = await client.post(path, body);
  if (answer.status !== 201) throw new Error(`${path} was not created: ${answer.text}`);
  return Number(answer.body['id']);
}
