import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { project, serviceAccount, team, type TestTeam } from '../support/organizations.js';
import { TestApp } from '../support/test-app.js';

describe('the database', () => {
  let app: TestApp;
  let ours: TestTeam;
  let theirs: TestTeam;
  let neighbor: number;
  let account: number;
  beforeAll(async () => {
    app = await TestApp.start();
    [ours, theirs] = [await team(app), await team(app)];
    neighbor = await project(app.admin, ours.organizationId);
    account = await serviceAccount(app.admin, ours.projectId);
  });
  afterAll(() => app.stop());

  const refusal = (text: string, values: unknown[]) =>
    app.database.query(text, values).then(
      () => 'accepted',
      (error: unknown) => (error as { constraint?: string }).constraint,
    );
  const keyOfAccount = async () => (await app.apiKey(app.admin, { service_account_id: account })).id;
  const keyOfPerson = async (projectId: number) =>
    (await app.apiKey(app.admin, { project_id: projectId })).id;

  it('refuses the key of a service account in another project', async () => {
    const move = 'UPDATE api_keys SET project_id = $2, organization_id = $3 WHERE id = $1';
    const key = await keyOfAccount();
    const fault = 'api_keys_service_account_id_fkey';
    expect(await refusal(move, [key, neighbor, ours.organizationId])).toBe(fault);
    expect(await refusal(move, [key, theirs.projectId, theirs.organizationId])).toBe(fault);
    expect(await refusal(move, [await keyOfPerson(ours.projectId), neighbor, ours.organizationId])).toBe(
      'accepted',
    );
  });

  it('refuses a key of a service account that does not say so, and one that only says so', async () => {
    const toPerson = `UPDATE api_keys SET owner_kind = 'person', service_account_id = NULL WHERE id = $1`;
    expect(await refusal(toPerson, [await keyOfAccount()])).toBe('api_keys_owner_kind_fkey');
    const toAccount = `UPDATE api_keys SET owner_kind = 'service', service_account_id = $2 WHERE id = $1`;
    const ofPerson = await keyOfPerson(ours.projectId);
    expect(await refusal(toAccount, [ofPerson, account])).toBe('api_keys_service_account_check');
    expect(await refusal('UPDATE api_keys SET user_id = $2 WHERE id = $1', [ofPerson, account])).toBe(
      'api_keys_owner_kind_fkey',
    );
  });

  it('refuses a project of another organization, of keys, service accounts, members and invitations', async () => {
    const wrong = [theirs.projectId, ours.organizationId];
    const ofKey = 'UPDATE api_keys SET project_id = $1, organization_id = $2 WHERE id = $3';
    expect(await refusal(ofKey, [...wrong, await keyOfPerson(ours.projectId)])).toBe(
      'api_keys_project_id_fkey',
    );
    const ofAccount = 'UPDATE users SET project_id = $1, organization_id = $2 WHERE id = $3';
    const idle = await serviceAccount(app.admin, ours.projectId);
    expect(await refusal(ofAccount, [...wrong, idle])).toBe('users_project_id_fkey');
    const member = `INSERT INTO memberships (project_id, organization_id, user_id, role) VALUES ($1, $2, $3, 'project_viewer')`;
    expect(await refusal(member, [...wrong, theirs.owner.id])).toBe('memberships_project_id_fkey');
    const invitation = `INSERT INTO invitations (project_id, organization_id, digest, role, username, invited_by_user_id, expires_at)
      VALUES ($1, $2, sha256('x'), 'project_viewer', 'x', $3, now())`;
    expect(await refusal(invitation, [...wrong, ours.owner.id])).toBe('invitations_project_id_fkey');
  });

  it('refuses a membership of a service account, whatever kind the membership says', async () => {
    const insert = `INSERT INTO memberships (user_id, organization_id, role, user_kind) VALUES ($1, $2, 'org_member', $3)`;
    const values = [account, ours.organizationId];
    expect(await refusal(insert, [...values, 'person'])).toBe('memberships_user_id_fkey');
    expect(await refusal(insert, [...values, 'service'])).toBe('memberships_user_kind_check');
  });

  it('refuses to make a person of a service account that owns keys, and the reverse of a member', async () => {
    await keyOfAccount();
    const toPerson = `UPDATE users SET kind = 'person', project_id = NULL, organization_id = NULL WHERE id = $1`;
    expect(await refusal(toPerson, [account])).toMatch(/^api_keys_(owner_kind|service_account_id)_fkey$/);
    const toAccount = `UPDATE users SET kind = 'service', project_id = $2, organization_id = $3 WHERE id = $1`;
    const values = [ours.owner.id, ours.projectId, ours.organizationId];
    expect(await refusal(toAccount, values)).toBe('memberships_user_id_fkey');
  });

  it('refuses a child in another project than the key that created it, and to move either alone', async () => {
    const scopes = ['platform:api-keys:create'];
    const parent = await app.apiKey(app.admin, { project_id: ours.projectId, scopes });
    const child = await app.apiKey(app.anonymous.withApiKey(parent.secret));
    const move = 'UPDATE api_keys SET project_id = $2 WHERE id = ANY ($1)';
    const fault = 'api_keys_parent_project_fkey';
    expect(await refusal(move, [[child.id], neighbor])).toBe(fault);
    expect(await refusal(move, [[parent.id], neighbor])).toBe(fault);
    expect(await refusal(move, [[parent.id, child.id], neighbor])).toBe('accepted');
  });

  it('refuses a role of an organization in a project, and the reverse', async () => {
    const insert =
      'INSERT INTO memberships (user_id, organization_id, project_id, role) VALUES ($1, $2, $3, $4)';
    const user = await app.user();
    const fault = 'memberships_role_check';
    expect(await refusal(insert, [user.id, ours.organizationId, ours.projectId, 'org_owner'])).toBe(fault);
    expect(await refusal(insert, [user.id, ours.organizationId, null, 'project_admin'])).toBe(fault);
  });
});
