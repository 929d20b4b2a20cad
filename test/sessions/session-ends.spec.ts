import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openSession } from '../security/tokens.js';
import { expectOneAuditRow } from '../support/audit-trail.js';
import { expectInvalid, expectProblem } from '../support/problems.js';
import { TestApp, type TestUser, USER_PASSWORD } from '../support/test-app.js';

const NEW_PASSWORD = 'another long passphrase';
const ENDED = { status: 401, refreshStatus: 401 };

describe('what is decided about a user holds at once', () => {
  let app: TestApp;
  beforeAll(async () => {
    app = await TestApp.start({ environment: { LOGIN_FAILURES_PER_ACCOUNT_AND_ADDRESS: '1000' } });
  });
  afterAll(() => app.stop());

  /** A user with two sessions, and what those are worth. */
  async function userWithSessions(options: { role?: string; permissions?: string[] } = {}) {
    const user = await app.user(options);
    const sessions = [await openSession(app, user.username), await openSession(app, user.username)];
    const worth = () =>
      Promise.all(
        sessions.map(async ({ client, refreshToken }) => ({
          status: (await client.get('/auth/me')).status,
          refreshStatus: (await app.anonymous.post('/auth/refresh', { refresh_token: refreshToken })).status,
        })),
      );
    return { user, client: sessions[0]!.client, worth };
  }

  const changePassword = (user: TestUser, body: object, client = user.client) =>
    client.put(`/users/${user.id}/password`, body);

  it('disabling ends every session, access and refresh', async () => {
    const { user, worth } = await userWithSessions();
    expect((await app.admin.put(`/users/${user.id}`, { is_active: false })).status).toBe(200);
    expect(await worth()).toEqual([ENDED, ENDED]);
    expectProblem(
      await app.anonymous.post('/auth/login', { username: user.username, password: USER_PASSWORD }),
      'auth.login_failed',
    );
  });

  it('enabling again lets the user log in, and revives no session', async () => {
    const { user, worth } = await userWithSessions();
    await app.admin.put(`/users/${user.id}`, { is_active: false });
    await app.admin.put(`/users/${user.id}`, { is_active: true });
    expect(await worth()).toEqual([ENDED, ENDED]);
    await openSession(app, user.username);
  });

  it('deletion ends every session', async () => {
    const { user, worth } = await userWithSessions();
    expect((await app.admin.delete(`/users/${user.id}`)).status).toBe(200);
    expect(await worth()).toEqual([ENDED, ENDED]);
  });

  it('a change of one’s own password ends every session, and the old password', async () => {
    const { user, worth } = await userWithSessions();
    const body = { current_password: USER_PASSWORD, new_password: NEW_PASSWORD };
    const answer = await changePassword(user, body);
    expect([answer.status, answer.body]).toEqual([
      200,
      { message: 'Password changed; all sessions have ended' },
    ]);
    expect(await worth()).toEqual([ENDED, ENDED]);
    const credentials = { username: user.username, password: USER_PASSWORD };
    expectProblem(await app.anonymous.post('/auth/login', credentials), 'auth.login_failed');
    await openSession(app, user.username, NEW_PASSWORD);
    await expectOneAuditRow(app.database, answer, {
      action: 'set_user_password',
      resource_type: 'user',
      resource_id: String(user.id),
      user_id: user.id,
      details: {},
    });
  });

  it('a change of somebody’s password by an admin does the same, without the current one', async () => {
    const { user, worth } = await userWithSessions();
    expect((await changePassword(user, { new_password: NEW_PASSWORD }, app.admin)).status).toBe(200);
    expect(await worth()).toEqual([ENDED, ENDED]);
    await openSession(app, user.username, NEW_PASSWORD);
  });

  it('one’s own password is not changed without the current one', async () => {
    const { user, client, worth } = await userWithSessions({ permissions: ['platform:users:update'] });
    const wrong = { field: 'current_password', message: 'must be the current password' };
    for (const current of [undefined, 'a wrong passphrase', `${USER_PASSWORD} `, NEW_PASSWORD]) {
      const body = { new_password: NEW_PASSWORD, current_password: current };
      expectInvalid(await changePassword(user, body, client), wrong);
    }
    expect((await worth()).map(({ status }) => status)).toEqual([200, 200]);
    await openSession(app, user.username);
  });

  it('one’s own password is changed once when two try at once', async () => {
    const { user, client } = await userWithSessions();
    const passwords = ['the first passphrase', 'the second passphrase'];
    const answers = await Promise.all(
      passwords.map((new_password) =>
        changePassword(user, { current_password: USER_PASSWORD, new_password }, client),
      ),
    );
    const statuses = answers.map(({ status }) => status);
    expect(statuses.filter((status) => status === 200)).toHaveLength(1);
    await openSession(app, user.username, passwords[statuses.indexOf(200)]);
  });

  it('nobody without the permission changes the password of another', async () => {
    const { user } = await userWithSessions();
    const stranger = await app.user({ permissions: ['platform:users:read', 'platform:users:create'] });
    const answer = await changePassword(user, { new_password: NEW_PASSWORD }, stranger.client);
    expectProblem(answer, 'permission.denied');
    await openSession(app, user.username);
  });

  it('nobody changes the password of one who holds more than they do', async () => {
    const { user } = await userWithSessions({ role: 'auditor' });
    const updater = await app.user({ permissions: ['platform:users:update'] });
    const answer = await changePassword(user, { new_password: NEW_PASSWORD }, updater.client);
    expectProblem(answer, 'permission.denied');
    await openSession(app, user.username);
  });

  it('a new password obeys the rules, and nothing changes when it does not', async () => {
    const { user, worth } = await userWithSessions();
    const bad = {
      ['x'.repeat(11)]: 'must be 12 to 72 characters long',
      [user.username]: 'must not be built on the username',
      ['é'.repeat(37)]: 'must be at most 72 bytes long',
      password1234: 'is one of the most common passwords',
    };
    for (const [new_password, message] of Object.entries(bad)) {
      const body = { current_password: USER_PASSWORD, new_password };
      expectInvalid(await changePassword(user, body), { field: 'new_password', message });
    }
    expect((await worth()).map(({ status }) => status)).toEqual([200, 200]);
  });

  it('a removed permission is gone for an old token, and a given one is there', async () => {
    const user = await app.user({ role: 'auditor' });
    expect((await user.client.get('/users')).status).toBe(200);
    await app.admin.put(`/users/${user.id}`, { role: 'user' });
    expectProblem(await user.client.get('/users'), 'permission.denied');
    await app.admin.put(`/users/${user.id}`, { permissions: ['platform:users:read'] });
    expect((await user.client.get('/users')).status).toBe(200);
    expect((await user.client.get('/auth/me')).body).toMatchObject({
      role: 'user',
      permissions: ['platform:users:read'],
    });
  });

  it('a login that raced with a change of password or with disabling leaves no session', async () => {
    for (const change of [{ is_active: false }, { new_password: NEW_PASSWORD }]) {
      const user = await app.user();
      const path = `/users/${user.id}${'new_password' in change ? '/password' : ''}`;
      const credentials = { username: user.username, password: USER_PASSWORD };
      const logins = Array.from({ length: 6 }, () => app.anonymous.post('/auth/login', credentials));
      const [changed, ...answers] = await Promise.all([app.admin.put(path, change), ...logins]);
      expect(changed.status).toBe(200);
      for (const { body } of answers.filter(({ status }) => status === 200)) {
        const me = await app.anonymous.withAccessToken(body['access_token']).get('/auth/me');
        expect(me.status).toBe(401);
      }
    }
  });
});
