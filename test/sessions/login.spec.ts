import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { claimsOf, openSession } from '../security/tokens.js';
import type { ApiAnswer } from '../support/api-client.js';
import { auditRowsOf, expectOneAuditRow } from '../support/audit-trail.js';
import { expectProblem } from '../support/problems.js';
import { ADMIN, TestApp, USER_PASSWORD } from '../support/test-app.js';
import { comparisonsDuring } from '../users/password-hashing.js';

describe('POST /auth/login', () => {
  let app: TestApp;
  beforeAll(async () => {
    app = await TestApp.start({ environment: { LOGIN_FAILURES_PER_ACCOUNT_AND_ADDRESS: '1000' } });
  });
  afterAll(() => app.stop());

  const logIn = (username: string, password: string) =>
    app.anonymous.post('/auth/login', { username, password });

  it('gives tokens that open the door, and forbids to store them', async () => {
    const answer = await logIn(ADMIN.username, ADMIN.password);
    expect(answer.body).toEqual({
      access_token: expect.stringMatching(/^eyJ[\w-]+\.[\w-]+\.[\w-]+$/),
      token_type: 'Bearer',
      expires_in: 900,
      refresh_token: expect.stringMatching(/^rt_[\w-]{43}$/),
    });
    expect([answer.status, answer.headers.get('cache-control')]).toEqual([200, 'no-store']);
    const { exp, iat } = claimsOf(answer.body['access_token']) as { exp: number; iat: number };
    expect(exp - iat).toBe(900);
    const me = await app.anonymous.withAccessToken(answer.body['access_token']).get('/auth/me');
    expect(me.body).toEqual({
      id: 1,
      username: 'admin',
      role: 'admin',
      permissions: ['platform:*'],
      scoped_permissions: [
        {
          organization_id: 1,
          project_id: null,
          permissions: ['platform:organizations:read', 'platform:projects:read'],
        },
      ],
    });
    const { session } = { session: claimsOf(answer.body['access_token'])['sid'] };
    await expectOneAuditRow(app.database, answer, {
      action: 'login',
      resource_type: 'session',
      resource_id: session as string,
      user_id: 1,
      details: {},
    });
  });

  it('knows a name in any case and with spaces around it', async () => {
    for (const name of ['ADMIN', 'Admin', ' admin ', 'aDMIN\t']) {
      expect((await logIn(name, ADMIN.password)).status).toBe(200);
    }
  });

  it('tells an unknown user, a disabled one, an ended one and a wrong password nothing that differs', async () => {
    const [disabled, ended] = [await app.user(), await app.user()];
    await app.admin.put(`/users/${disabled.id}`, { is_active: false });
    await app.admin.delete(`/users/${ended.id}`);
    const answers = [
      await logIn(ADMIN.username, 'a wrong passphrase'),
      await logIn('nobody-of-this-name', ADMIN.password),
      await logIn('not even a username', ADMIN.password),
      await logIn(disabled.username, USER_PASSWORD),
      await logIn(disabled.username, 'a wrong passphrase'),
      await logIn(ended.username, USER_PASSWORD),
      await logIn(ADMIN.username, `${ADMIN.password} `),
      await logIn(ADMIN.username, ADMIN.password.toUpperCase()),
    ];
    for (const answer of answers) {
      expectProblem(answer, 'auth.login_failed', 'The username or the password is wrong.');
      expect(withoutRequestId(answer)).toEqual(withoutRequestId(answers[0]!));
    }
  });

  it('compares one hash for each of them, whether there is a user or not', async () => {
    const disabled = await app.user();
    await app.admin.put(`/users/${disabled.id}`, { is_active: false });
    const attempts = [
      [ADMIN.username, 'a wrong passphrase'],
      ['nobody-of-this-name', 'a wrong passphrase'],
      [disabled.username, USER_PASSWORD],
      [ADMIN.username, 'x'.repeat(256)],
      ['nobody-of-this-name', 'x'.repeat(256)],
      [ADMIN.username, ADMIN.password],
    ] as const;
    for (const [username, password] of attempts) {
      expect([username, await comparisonsDuring(() => logIn(username, password))]).toEqual([username, 1]);
    }
  });

  it('leaves a row of every failure that names the attempt and nobody as its actor', async () => {
    const answer = await logIn(ADMIN.username.toUpperCase(), 'the marked passphrase');
    await expectOneAuditRow(app.database, answer, {
      action: 'login',
      resource_type: 'session',
      resource_id: null,
      user_id: null,
      details: { username: ADMIN.username, reason: 'credentials' },
      success: false,
    });
    const rows = await auditRowsOf(app.database, answer);
    expect(JSON.stringify(rows)).not.toContain('marked');
  });

  it('looks at a whole password, also beyond the bytes that bcrypt reads', async () => {
    const longest = 'é'.repeat(36);
    await app.admin.post('/users', { username: 'long-password', password: longest });
    expect((await logIn('long-password', longest)).status).toBe(200);
    for (const password of [`${longest}x`, longest.slice(0, -1), `${longest}\0`.slice(0, 36) + 'x']) {
      expect((await logIn('long-password', password)).status).toBe(401);
    }
  });

  it.each([
    {},
    { username: 'admin' },
    { username: 'admin', password: '' },
    { username: '', password: 'x' },
    { username: 'admin', password: null },
    { username: 'x'.repeat(257), password: 'x' },
    { username: 'admin', password: 'x'.repeat(257) },
    { username: ['admin'], password: { $ne: '' } },
  ])('is 422 with a body such as number %#', async (body) => {
    expectProblem(await app.anonymous.post('/auth/login', body), 'validation.failed');
  });

  it('opens a session of its own each time', async () => {
    const sessions = [
      await openSession(app, ADMIN.username, ADMIN.password),
      await openSession(app, 'admin', ADMIN.password),
    ];
    const [first, second] = sessions.map(({ accessToken }) => claimsOf(accessToken)['sid']);
    expect(first).not.toBe(second);
    await sessions[0]!.client.post('/auth/logout');
    expect((await sessions[1]!.client.get('/auth/me')).status).toBe(200);
  });
});

function withoutRequestId({ status, body, headers }: ApiAnswer): unknown {
  const { request_id: _id, ...rest } = body;
  const kept = [...headers].filter(([name]) => !['x-request-id', 'date'].includes(name));
  return { status, body: rest, headers: kept };
}
