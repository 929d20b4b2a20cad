import { randomBytes } from 'node:crypto';
import { expect } from 'vitest';
import type { ApiAnswer, ApiClient } from '../support/api-client.js';
import type { TestApp, TestApiKey } from '../support/test-app.js';

/** An organization with a project of its own. */
export interface Place {
  readonly organizationId: number;
  readonly projectId: number;
}

/** A new organization with one project. */
export async function newPlace(admin: ApiClient): Promise<Place> {
  const slug = `o-${randomBytes(4).toString('hex')}`;
  const organizationId = created(await admin.post('/organizations', { slug, name: slug }));
  const path = `/organizations/${organizationId}/projects`;
  return { organizationId, projectId: created(await admin.post(path, { slug, name: slug })) };
}

/** Changes the policy of a project. */
export async function setPolicy(
  { admin }: TestApp,
  { projectId }: Place,
  rules: Readonly<Record<string, unknown>>,
): Promise<ApiAnswer> {
  const answer = await admin.put(`/projects/${projectId}/policy`, rules);
  expect([answer.status, answer.text]).toEqual([200, expect.anything()]);
  return answer;
}

/** The same of an organization. */
export async function setOrganizationPolicy(
  { admin }: TestApp,
  { organizationId }: Place,
  rules: Readonly<Record<string, unknown>>,
): Promise<ApiAnswer> {
  const answer = await admin.put(`/organizations/${organizationId}/policy`, rules);
  expect([answer.status, answer.text]).toEqual([200, expect.anything()]);
  return answer;
}

/** A key of the admin in a project. */
export function keyIn(
  app: TestApp,
  { projectId }: Place,
  fields: Readonly<Record<string, unknown>> = {},
): Promise<TestApiKey> {
  return app.apiKey(app.admin, { project_id: projectId, ...fields });
}

/** Makes keys those of a new service account of their project. */
export async function giveToServiceAccount(
  app: TestApp,
  place: Place,
  ids: readonly number[],
): Promise<void> {
  const [account] = await app.database.query<{ id: string }>(
    `INSERT INTO users (username, password_hash, role, kind, organization_id, project_id)
     VALUES ($1, 'none', 'user', 'service', $2, $3) RETURNING id`,
    [`service-${randomBytes(4).toString('hex')}`, place.organizationId, place.projectId],
  );
  await app.database.query(
    `UPDATE api_keys SET user_id = $1, service_account_id = $1, owner_kind = 'service' WHERE id = ANY ($2)`,
    [account?.id, ids],
  );
}

function created(answer: ApiAnswer): number {
  expect([answer.status, answer.text]).toEqual([201, expect.anything()]);
  return Number(answer.body['id']);
}
