import { randomBytes } from 'node:crypto';
import type { ApiClient } from './api-client.js';
import type { TestApiKey, TestApp } from './test-app.js';

/** A project with its organization. */
export interface Place {
  readonly organizationId: number;
  readonly projectId: number;
}

/** A new project, in a new organization or in the one given. */
export async function newPlace(app: TestApp, organizationId?: number): Promise<Place> {
  const slug = `s-${randomBytes(6).toString('hex')}`;
  const organization =
    organizationId ?? (await created(app.admin.post('/organizations', { name: 'Acme', slug })));
  const path = `/organizations/${organization}/projects`;
  return {
    organizationId: organization,
    projectId: await created(app.admin.post(path, { name: 'Chat', slug })),
  };
}

/** A new key of the admin in a project. */
export function keyIn(
  app: TestApp,
  { projectId }: Place,
  fields: Record<string, unknown> = {},
): Promise<TestApiKey> {
  return app.apiKey(app.admin, { project_id: projectId, ...fields });
}

/** A client with a key of a new service account of a project, which holds these permissions. */
export async function serviceIn(
  app: TestApp,
  place: Place,
  permissions: readonly string[],
): Promise<ApiClient> {
  const { id, secret } = await keyIn(app, place, { scopes: ['platform:*'] });
  await app.database.query(
    `WITH account AS (
       INSERT INTO users (username, password_hash, role, permissions, kind, organization_id, project_id)
       VALUES ($1, '', 'user', $2, 'service', $3, $4) RETURNING id
     )
     UPDATE api_keys SET user_id = account.id, owner_kind = 'service', service_account_id = account.id
     FROM account WHERE api_keys.id = $5`,
    [`service-${randomBytes(6).toString('hex')}`, permissions, place.organizationId, place.projectId, id],
  );
  return app.anonymous.withApiKey(secret);
}

async function created(answering: ReturnType<ApiClient['post']>): Promise<number> {
  const { status, text, body } = await answering;
  if (status !== 201) throw new Error(`It was not created: ${text}`);
  return Number(body['id']);
}
