import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { claimsOf, openSession, type TestSession } from '../security/tokens.js';
import type { ApiAnswer } from '../support/api-client.js';
import { auditRowsOf, expectOneAuditRow } from '../support/audit-trail.js';
import { LockedTables } from '../support/locked-tables.js';
import { expectProblem } from '../support/problems.js';
import { TestApp, type TestUser } from '../support/test-app.js';

const DAY_SECONDS = 86_400;
/** After so long an exchanged token that comes back is a stolen one. */
const REPEAT_SECONDS = 10;

describe('a session', () => {
  let app: TestApp;
  let user: TestUser;
  beforeAll(async () => {
    app = await TestApp.start();
    user = await app.user();
  });
  afterAll(() => app.stop());

  const refresh = (refreshToken: string) =>
    app.anonymous.post('/auth/refresh', { refresh_token: refreshToken });
  const isAlive = async ({ client }: Pick<TestSession, 'client'>) =>
    (await client.get('/auth/me')).status === 200;

  function sessionFrom({ status, body }: ApiAnswer): TestSession {
    expect(status).toBe(200);
    const client = app.anonymous.withAccessToken(body['access_token']);
    return { accessToken: body['access_token'], refreshToken: body['refresh_token'], client };
  }

  it('is refreshed with new tokens, which are not to be stored', async () => {
    const first = await openSession(app, user.username);
    const answer = await refresh(first.refreshToken);
    const second = sessionFrom(answer);
    expect(second.refreshToken).not.toBe(first.refreshToken);
    expect(claimsOf(second.accessToken)['sid']).toBe(claimsOf(first.accessToken)['sid']);
    expect([await isAlive(first), await isAlive(second)]).toEqual([true, true]);
    expect(answer.headers.get('cache-control')).toBe('no-store');
    await expectOneAuditRow(app.database, answer, {
      action: 'refresh_session',
      resource_type: 'session',
      resource_id: claimsOf(first.accessToken)['sid'] as string,
      user_id: user.id,
    });
  });

  it('can be refreshed again and again, each time with the newest token', async () => {
    let session = await openSession(app, user.username);
    for (let count = 0; count < 5; count += 1) session = sessionFrom(await refresh(session.refreshToken));
    expect(await isAlive(session)).toBe(true);
  });

  it('ends when a refresh token comes back later, for the thief and for the owner', async () => {
    const first = await openSession(app, user.username);
    const second = sessionFrom(await refresh(first.refreshToken));
    app.clock.advanceSeconds(REPEAT_SECONDS);
    const reuse = await refresh(first.refreshToken);
    expectProblem(reuse, 'auth.refresh_token_invalid');
    expect([await isAlive(first), await isAlive(second)]).toEqual([false, false]);
    expectProblem(await refresh(second.refreshToken), 'auth.refresh_token_invalid');
    const [row] = await auditRowsOf(app.database, reuse);
    expect(row).toMatchObject({
      action: 'refresh_session',
      details: { reason: 'refresh_token_reused' },
      user_id: user.id,
      success: false,
    });
  });

  it('goes on when a refresh is repeated at once, because of two tabs or a lost answer', async () => {
    const first = await openSession(app, user.username);
    // The clock stands still: a busy machine takes longer than the last second.
    const atMs = app.clock.nowMs();
    app.clock.stopAt(atMs);
    const answers = await Promise.all(Array.from({ length: 8 }, () => refresh(first.refreshToken)));
    app.clock.stopAt(atMs + (REPEAT_SECONDS - 1) * 1_000);
    answers.push(await refresh(first.refreshToken));
    app.clock.goOn();
    const sessions = answers.map(sessionFrom);
    expect(new Set(sessions.map(({ accessToken }) => claimsOf(accessToken)['sid'])).size).toBe(1);
    for (const session of [first, ...sessions]) expect(await isAlive(session)).toBe(true);
    const rows = await Promise.all(answers.map((answer) => auditRowsOf(app.database, answer)));
    expect(rows.flat().map(({ action, success }) => [action, success])).toEqual(
      answers.map(() => ['refresh_session', true]),
    );
  });

  it('has one line of refresh tokens, however often one is repeated: a thief is noticed at the next exchange', async () => {
    const { refreshToken } = await openSession(app, user.username);
    const [owner, thief] = [
      sessionFrom(await refresh(refreshToken)),
      sessionFrom(await refresh(refreshToken)),
    ];
    expect(thief.refreshToken).toBe(owner.refreshToken);
    sessionFrom(await refresh(owner.refreshToken));
    app.clock.advanceSeconds(REPEAT_SECONDS);
    expectProblem(await refresh(thief.refreshToken), 'auth.refresh_token_invalid');
    expect([await isAlive(owner), await isAlive(thief)]).toEqual([false, false]);
  });

  it('goes on when a tab repeats a refresh from which another one has gone on already', async () => {
    const { refreshToken } = await openSession(app, user.username);
    const second = sessionFrom(await refresh(refreshToken));
    const third = sessionFrom(await refresh(second.refreshToken));
    const late = sessionFrom(await refresh(refreshToken));
    expect(sessionFrom(await refresh(late.refreshToken)).refreshToken).toBe(third.refreshToken);
    expect(await isAlive(third)).toBe(true);
  });

  it('is not revived by a repeat when it has ended meanwhile', async () => {
    const first = await openSession(app, user.username);
    const second = sessionFrom(await refresh(first.refreshToken));
    await second.client.post('/auth/logout');
    for (const { refreshToken } of [first, second])
      expectProblem(await refresh(refreshToken), 'auth.refresh_token_invalid');
    expect(await isAlive(second)).toBe(false);
  });

  it('is not refreshed by a request that waited while it was ended', async () => {
    const { refreshToken, accessToken } = await openSession(app, user.username);
    let answer: ApiAnswer | undefined;
    // One that waited for a second in vain is 503 and has to be repeated.
    while (answer === undefined || answer.status === 503) {
      const held = await LockedTables.lock(app.database, ['sessions']);
      let isAnswered = false;
      const answering = refresh(refreshToken).finally(() => {
        isAnswered = true;
      });
      await held.untilAwaited(1, () => isAnswered);
      await held.query('UPDATE sessions SET ended_at = now() WHERE id = $1', [claimsOf(accessToken)['sid']]);
      await held.release();
      answer = await answering;
    }
    expectProblem(answer, 'auth.refresh_token_invalid');
  });

  it('is not opened by a refresh token that is unknown, empty, huge or of another kind', async () => {
    const { accessToken, refreshToken } = await openSession(app, user.username);
    const others = [
      'rt_',
      `rt_${'a'.repeat(43)}`,
      refreshToken.slice(0, -1),
      `${refreshToken}a`,
      refreshToken.toUpperCase(),
    ];
    for (const other of others) expectProblem(await refresh(other), 'auth.refresh_token_invalid');
    expectProblem(await refresh(accessToken.slice(0, 256)), 'auth.refresh_token_invalid');
    for (const body of [
      {},
      { refresh_token: '' },
      { refresh_token: 'x'.repeat(257) },
      { refresh_token: [refreshToken] },
    ]) {
      expectProblem(await app.anonymous.post('/auth/refresh', body), 'validation.failed');
    }
    expectProblem(
      await app.anonymous.withAccessToken(refreshToken).get('/auth/me'),
      'auth.credential_invalid',
    );
    expect((await refresh(refreshToken)).status).toBe(200);
  });

  it('keeps of its refresh token no more than a digest', async () => {
    const { refreshToken } = await openSession(app, user.username);
    const rows = await app.database.query(`SELECT digest::text, session_id FROM refresh_tokens`);
    expect(JSON.stringify(rows)).not.toContain(refreshToken.slice(3));
    expect(rows.length).toBeGreaterThan(0);
  });

  it('ends with logout at once, its refresh token too, and no other session does', async () => {
    const [session, other] = [await openSession(app, user.username), await openSession(app, user.username)];
    const answer = await session.client.post('/auth/logout');
    expect([answer.status, answer.body]).toEqual([200, { message: 'Logged out' }]);
    expect([await isAlive(session), await isAlive(other)]).toEqual([false, true]);
    expectProblem(await refresh(session.refreshToken), 'auth.refresh_token_invalid');
    expectProblem(await session.client.post('/auth/logout'), 'auth.credential_invalid');
    await expectOneAuditRow(app.database, answer, {
      action: 'logout',
      resource_type: 'session',
      resource_id: claimsOf(session.accessToken)['sid'] as string,
      user_id: user.id,
    });
  });

  it('ends once when it is logged out many times at once', async () => {
    const { client } = await openSession(app, user.username);
    const answers = await Promise.all(Array.from({ length: 6 }, () => client.post('/auth/logout')));
    expect(answers.some(({ status }) => status === 200)).toBe(true);
    expect(answers.every(({ status }) => status === 200 || status === 401)).toBe(true);
    const rows = await Promise.all(answers.map((answer) => auditRowsOf(app.database, answer)));
    expect(rows.flat()).toHaveLength(1);
  });

  it('is nothing that an API key has', async () => {
    const { secret } = await app.apiKey(app.admin, { scopes: ['platform:*'] });
    expectProblem(await app.anonymous.withApiKey(secret).post('/auth/logout'), 'permission.denied');
  });

  it('runs out when nobody refreshes it, and lives on when somebody does', async () => {
    const [left, kept] = [await openSession(app, user.username), await openSession(app, user.username)];
    app.clock.advanceSeconds(29 * DAY_SECONDS);
    const renewed = sessionFrom(await refresh(kept.refreshToken));
    expect([await isAlive(left), await isAlive(renewed)]).toEqual([true, true]);
    app.clock.advanceSeconds(2 * DAY_SECONDS);
    expect([await isAlive(left), await isAlive(renewed), await isAlive(kept)]).toEqual([false, true, true]);
    expectProblem(await refresh(left.refreshToken), 'auth.refresh_token_invalid');
    expect((await refresh(renewed.refreshToken)).status).toBe(200);
  });
});
