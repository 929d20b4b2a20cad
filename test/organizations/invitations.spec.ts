import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Redactor } from '../../src/common/redactor.js';
import { UTC_TIMESTAMP } from '../support/api-keys.js';
import { auditRowsOf, expectOneAuditRow } from '../support/audit-trail.js';
import { invitation, memberOf, project, session, team, type TestTeam } from '../support/organizations.js';
import { expectInvalid, expectProblem } from '../support/problems.js';
import { TestApp, USER_PASSWORD } from '../support/test-app.js';

const DAY_MS = 24 * 3_600_000;

describe('invitations', () => {
  let app: TestApp;
  let ours: TestTeam;
  let organization: string;
  let projectPath: string;
  let made = 0;
  beforeAll(async () => {
    app = await TestApp.start();
    ours = await team(app);
    organization = `/organizations/${ours.organizationId}`;
    projectPath = `/projects/${ours.projectId}`;
  });
  afterAll(() => app.stop());

  const newName = () => `guest-${(made += 1)}`;
  const invite = (path: string, username: string, role: string) =>
    invitation(ours.owner.client, path, username, role);
  const accept = (token: string, client = app.anonymous, password: string | undefined = USER_PASSWORD) =>
    client.post('/invitations/accept', { token, ...(client === app.anonymous ? { password } : {}) });

  it('POST answers the token once, and the list shows the invitation without it', async () => {
    const username = newName();
    const body = { username: username.toUpperCase(), role: 'org_member' };
    const answer = await ours.owner.client.post(`${organization}/invitations`, body);
    expect([answer.status, answer.headers.get('cache-control'), answer.body]).toEqual([
      201,
      'no-store',
      {
        invitation: {
          id: expect.any(Number),
          username,
          role: 'org_member',
          organization_id: ours.organizationId,
          project_id: null,
          invited_by_user_id: ours.owner.id,
          state: 'open',
          created_at: expect.stringMatching(UTC_TIMESTAMP),
          expires_at: expect.stringMatching(UTC_TIMESTAMP),
        },
        token: expect.stringMatching(/^inv_[\w-]{43}$/),
      },
    ]);
    const { invitation: sent } = answer.body;
    expect(Date.parse(sent.expires_at) - Date.parse(sent.created_at)).toBe(7 * DAY_MS);
    const { body: list, text } = await ours.owner.client.get(`${organization}/invitations?size=100`);
    expect(list['invitations']).toContainEqual(sent);
    expect(text).not.toContain('inv_');
    await expectOneAuditRow(app.database, answer, {
      action: 'create_organization_invitation',
      resource_type: 'invitation',
      resource_id: String(sent.id),
      user_id: ours.owner.id,
      details: { username, role: 'org_member' },
    });
  });

  it('a token is stored as its digest alone, and masked wherever it is misplaced', async () => {
    const token = await invite(organization, newName(), 'org_member');
    const [row] = await app.database.query<{ found: number }>(
      `SELECT count(*)::int AS found FROM invitations WHERE digest = sha256(convert_to($1, 'UTF8'))`,
      [token],
    );
    expect(row).toEqual({ found: 1 });
    const redactor = app.app.get(Redactor, { strict: false });
    for (const form of [token, Buffer.from(token).toString('base64url'), Buffer.from(token).toString('hex')])
      expect(redactor.maskText(`token ${form}`)).toBe('token [redacted]');
    const misplaced = await ours.owner.client.put(organization, { name: token });
    expectInvalid(misplaced, { field: 'name', message: expect.stringMatching(/secret/) });
  });

  it('a user accepts with a session, and is a member with the role', async () => {
    const user = await app.user();
    const token = await invite(projectPath, user.username, 'project_developer');
    const answer = await accept(token, user.client);
    expect([answer.status, answer.body]).toEqual([
      200,
      {
        user_id: user.id,
        username: user.username,
        role: 'project_developer',
        organization_id: ours.organizationId,
        project_id: ours.projectId,
        created_at: expect.stringMatching(UTC_TIMESTAMP),
        updated_at: expect.stringMatching(UTC_TIMESTAMP),
      },
    ]);
    expect((await user.client.get(projectPath)).status).toBe(200);
    await expectOneAuditRow(app.database, answer, {
      action: 'accept_invitation',
      user_id: user.id,
      details: { project_id: ours.projectId, user_id: user.id, role: 'project_developer' },
    });
  });

  it('anyone else chooses a password, becomes a user without permissions, and belongs to nothing but what they were invited to', async () => {
    const username = newName();
    const answer = await accept(await invite(projectPath, username, 'project_viewer'));
    expect(answer.body).toMatchObject({ username, role: 'project_viewer', project_id: ours.projectId });
    const client = await session(app, username);
    const me = await client.get('/auth/me');
    expect(me.body).toMatchObject({ id: answer.body['user_id'], username, role: 'user', permissions: [] });
    expect((await client.get(projectPath)).status).toBe(200);
    expectProblem(await client.get(organization), 'permission.denied');
    expectProblem(await client.get('/organizations/1'), 'organization.not_found');
    expect((await app.admin.get('/organizations/1/members?size=100')).text).not.toContain(username);
    const rows = await auditRowsOf(app.database, answer);
    expect(rows.map(({ action, user_id }) => `${action} by ${String(user_id)}`).toSorted()).toEqual([
      `accept_invitation by ${String(answer.body['user_id'])}`,
      'create_user by null',
    ]);
  });

  it('a new user can be invited to the default organization as well', async () => {
    const username = newName();
    const token = await invitation(app.admin, '/organizations/1', username, 'org_auditor');
    expect((await accept(token)).body).toMatchObject({ role: 'org_auditor', organization_id: 1 });
    expect((await (await session(app, username)).get('/organizations/1')).status).toBe(200);
  });

  it('a token is accepted once, whoever asks again', async () => {
    const user = await app.user();
    const token = await invite(organization, user.username, 'org_member');
    const answers = await Promise.all([accept(token, user.client), accept(token, user.client)]);
    expect(answers.map(({ status }) => status).toSorted((a, b) => a - b)).toEqual([200, 404]);
    expectProblem(await accept(token, user.client), 'invitation.not_found');
    expectProblem(await accept(token), 'invitation.not_found');
    expect((await ours.owner.client.get(`${organization}/invitations?size=100`)).text).not.toContain(
      user.username,
    );
  });

  it('tokens that are wrong, for another user, for a name that is taken, revoked or expired are answered alike', async () => {
    const user = await app.user();
    const other = await app.user();
    const strange = await invite(organization, other.username, 'org_member');
    const revoked = await ours.owner.client.post(`${organization}/invitations`, {
      username: newName(),
      role: 'org_member',
    });
    const path = `${organization}/invitations/${String(revoked.body['invitation'].id)}`;
    expect((await ours.owner.client.delete(path)).status).toBe(200);
    expectProblem(await ours.owner.client.delete(path), 'invitation.not_found');
    const late = await invite(organization, newName(), 'org_member');
    await app.database.query(`UPDATE invitations SET expires_at = now() - interval '1 second'
      WHERE digest = sha256(convert_to('${late}', 'UTF8'))`);
    const { body: list } = await ours.owner.client.get(`${organization}/invitations?size=100`);
    const states = (list['invitations'] as { state: string }[]).map(({ state }) => state);
    expect(new Set(states)).toEqual(new Set(['open', 'expired']));
    const answers = [
      await accept(`inv_${'A'.repeat(43)}`),
      await accept('x'),
      await accept(strange, user.client),
      await accept(strange),
      await accept(String(revoked.body['token'])),
      await accept(late),
    ];
    for (const answer of answers) expectProblem(answer, 'invitation.not_found', 'Invitation not found');
    expect((await accept(strange, other.client)).status).toBe(200);
  });

  it('a member keeps their role: an invitation of a member is refused and stays open', async () => {
    const member = await memberOf(app, organization, 'org_admin');
    const token = await invite(organization, member.username, 'org_member');
    expectProblem(await accept(token, member.client), 'member.exists');
    const { body } = await ours.owner.client.get(`${organization}/members?size=100`);
    expect(body['members']).toContainEqual(
      expect.objectContaining({ user_id: member.id, role: 'org_admin' }),
    );
  });

  it('the sender must still hold the role when it is accepted', async () => {
    for (const end of ['demoted', 'removed', 'disabled', 'deleted']) {
      const sender = await memberOf(app, organization, 'org_admin');
      const token = await invitation(sender.client, organization, newName(), 'org_admin');
      const membership = `${organization}/members/${sender.id}`;
      if (end === 'demoted') await app.admin.put(membership, { role: 'org_member' });
      if (end === 'removed') await app.admin.delete(membership);
      if (end === 'disabled') await app.admin.put(`/users/${sender.id}`, { is_active: false });
      if (end === 'deleted') await app.admin.delete(`/users/${sender.id}`);
      expectProblem(await accept(token), 'invitation.not_found');
    }
  });

  it('an invitation to a project or an organization that was deleted is not found', async () => {
    const gone = await project(app.admin, ours.organizationId);
    const token = await invite(`/projects/${gone}`, newName(), 'project_viewer');
    expect((await app.admin.delete(`/projects/${gone}`)).status).toBe(200);
    expectProblem(await accept(token), 'invitation.not_found');
  });

  it('nobody invites to a role that allows more than they hold, or without the permission, or where they are strangers', async () => {
    const body = { username: newName(), role: 'project_admin' };
    const admin = (await memberOf(app, projectPath, 'project_admin')).client;
    expect((await admin.post(`${projectPath}/invitations`, body)).status).toBe(201);
    const orgBody = { ...body, role: 'org_owner' };
    const orgAdmin = (await memberOf(app, organization, 'org_admin')).client;
    expectProblem(await orgAdmin.post(`${organization}/invitations`, orgBody), 'permission.denied');
    expectProblem(await admin.post(`${organization}/invitations`, orgBody), 'permission.denied');
    const viewer = (await memberOf(app, projectPath, 'project_viewer')).client;
    expectProblem(await viewer.post(`${projectPath}/invitations`, body), 'permission.denied');
    const stranger = (await team(app)).owner.client;
    expectProblem(await stranger.get(`${projectPath}/invitations`), 'project.not_found');
    expectProblem(await stranger.post(`${projectPath}/invitations`, body), 'project.not_found');
    expectProblem(await stranger.post(`${organization}/invitations`, orgBody), 'organization.not_found');
    expectProblem(await stranger.delete(`${organization}/invitations/1`), 'organization.not_found');
  });

  it('an invitation of another scope is neither listed nor revoked', async () => {
    const { body } = await ours.owner.client.post(`${projectPath}/invitations`, {
      username: newName(),
      role: 'project_viewer',
    });
    const id = String(body['invitation'].id);
    expectProblem(
      await ours.owner.client.delete(`${organization}/invitations/${id}`),
      'invitation.not_found',
    );
    const { text } = await ours.owner.client.get(`${organization}/invitations?size=100`);
    expect(text).not.toContain(body['invitation'].username);
    expect((await ours.owner.client.delete(`${projectPath}/invitations/${id}`)).status).toBe(200);
  });

  it('a key with a restriction invites nobody, and no key accepts', async () => {
    const scopes = ['platform:members:*', 'platform:projects:read'];
    const project_id = ours.projectId;
    const bound = await app.apiKey(ours.owner.client, { project_id, scopes, rate_limit_per_day: 1_000 });
    const asKey = app.anonymous.withApiKey(bound.secret);
    const body = { username: newName(), role: 'project_viewer' };
    expectProblem(await asKey.post(`${projectPath}/invitations`, body), 'permission.denied');
    const token = await invite(projectPath, ours.owner.username, 'project_viewer');
    expectProblem(await accept(token, asKey), 'permission.denied');
  });

  it('accepting needs a session or a fit password, and judges every credential that is sent', async () => {
    const username = newName();
    const token = await invite(organization, username, 'org_member');
    const path = '/invitations/accept';
    const without = await app.anonymous.post(path, { token });
    expectInvalid(without, { field: 'password', message: 'is required without a session' });
    const built = await app.anonymous.post(path, { token, password: `${username}-12345` });
    expectInvalid(built, { field: 'password', message: 'must not be built on the username' });
    const both = await ours.owner.client.post(path, { token, password: USER_PASSWORD });
    expectInvalid(both, { field: 'password', message: 'must not be sent with a session' });
    const forged = app.anonymous.withAccessToken('forged');
    expectProblem(await forged.post(path, { token }), 'auth.credential_invalid');
    expect((await accept(token)).status).toBe(200);
  });
});
