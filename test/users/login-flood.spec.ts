import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { LoginFailures } from '../../src/users/login-failures.service.js';
import type { ApiAnswer } from '../support/api-client.js';
import { createTestDatabase, type TestDatabase } from '../support/database.js';
import { TestApp, type TestUser, USER_PASSWORD } from '../support/test-app.js';
import { comparisonsDuring } from './password-hashing.js';

const PER_ACCOUNT = 3;
const PER_ADDRESS = 9;
const FLOOD = 200;
const SMALL_FLOOD = 40;

interface LoginRow extends Record<string, unknown> {
  readonly details: Record<string, unknown>;
}

describe('a flood of logins', () => {
  let database: TestDatabase;
  let app: TestApp;
  let owner: TestUser;
  let addresses = 0;
  beforeAll(async () => {
    database = await createTestDatabase();
    app = await start();
    owner = await app.user();
  });
  afterAll(async () => {
    await app.stop();
    await database.drop();
  });

  const start = () =>
    TestApp.start({
      database,
      environment: {
        TRUSTED_PROXIES: '127.0.0.1',
        LOGIN_FAILURES_PER_ACCOUNT_AND_ADDRESS: String(PER_ACCOUNT),
        LOGIN_FAILURES_PER_ADDRESS: String(PER_ADDRESS),
      },
    });

  const newAddress = () => `192.0.2.${(addresses += 1)}`;

  function logIn(from: string, username: string, password = 'a wrong passphrase'): Promise<ApiAnswer> {
    return app.anonymous.post('/auth/login', { username, password }, { 'x-forwarded-for': from });
  }

  async function statuses(times: number, attempt: (index: number) => Promise<ApiAnswer>): Promise<number[]> {
    const answers = await Promise.all(Array.from({ length: times }, (_, index) => attempt(index)));
    return answers.map(({ status }) => status);
  }

  /** What the database holds of an address: its counters with the transaction that wrote them last, and its rows of the log. */
  const countersOf = (from: string) =>
    database.query(
      `SELECT subject, failures, xmin::text FROM login_failures WHERE subject LIKE $1 ORDER BY 1`,
      [`%${from}`],
    );
  const throttledRowsOf = (from: string) =>
    database.query<LoginRow>(
      `SELECT details, request_id, success FROM audit_logs
       WHERE ip_address = $1 AND action = 'login' AND details->>'reason' = 'throttled' ORDER BY created_at, id`,
      [from],
    );
  const countsOf = async (from: string) =>
    (await throttledRowsOf(from)).map(({ details }) => details['count']);

  it('writes one row when it begins and one a minute, whatever its size, and touches no counter', async () => {
    const from = newAddress();
    for (let count = 0; count < PER_ACCOUNT; count += 1) await logIn(from, owner.username);
    const first = await logIn(from, owner.username);
    expect(first.status).toBe(429);
    const before = await countersOf(from);
    const looked = await comparisonsDuring(async () => {
      expect(new Set(await statuses(FLOOD, () => logIn(from, owner.username)))).toEqual(new Set([429]));
    });
    expect(looked).toBe(0);
    expect(await countersOf(from)).toEqual(before);
    expect(await countsOf(from)).toEqual([1]);

    const failures = app.app.get(LoginFailures);
    await failures.flush();
    expect(await countsOf(from)).toEqual([1, FLOOD]);
    await failures.flush();
    expect(await countsOf(from)).toEqual([1, FLOOD]);
    await logIn(from, owner.username);
    expect(await throttledRowsOf(from)).toEqual(
      [1, FLOOD, 1].map((count, index) => ({
        details: { username: owner.username, reason: 'throttled', count, since: expect.any(String) },
        // Those that were counted have no request in common.
        request_id: [first.headers.get('x-request-id'), null, expect.any(String)][index],
        success: false,
      })),
    );
  });

  it('over ever new names leaves rows for no more of them than an address may try', async () => {
    const from = newAddress();
    const answered = await statuses(SMALL_FLOOD, (index) => logIn(from, `made-up-${index}`));
    expect(answered.filter((status) => status === 401)).toHaveLength(PER_ADDRESS);
    expect(answered.filter((status) => status === 429)).toHaveLength(SMALL_FLOOD - PER_ADDRESS);
    expect(await countersOf(from)).toHaveLength(PER_ADDRESS + 1);
    await app.app.get(LoginFailures).flush();
    const rows = await throttledRowsOf(from);
    expect(rows.map(({ details }) => Object.keys(details).toSorted())).toEqual([
      ['count', 'reason', 'since'],
      ['count', 'reason', 'since'],
    ]);
    expect(await countsOf(from)).toEqual([1, SMALL_FLOOD - PER_ADDRESS - 1]);
  });

  it('locks nobody out elsewhere, and makes no other login, read or change wait in vain', async () => {
    const from = newAddress();
    const flood = statuses(FLOOD, () => logIn(from, owner.username));
    const others = await Promise.all([
      statuses(10, () => logIn(newAddress(), owner.username, USER_PASSWORD)),
      statuses(10, () => app.admin.put(`/users/${owner.id}`, { permissions: ['platform:audit:read'] })),
      statuses(10, () => app.admin.get('/auth/me')),
    ]);
    expect(new Set(others.flat())).toEqual(new Set([200]));
    const answered = await flood;
    expect(answered.filter((status) => status === 401)).toHaveLength(PER_ACCOUNT);
    expect(answered.filter((status) => status === 429)).toHaveLength(FLOOD - PER_ACCOUNT);
    expect((await logIn(newAddress(), owner.username, USER_PASSWORD)).status).toBe(200);
  });

  it('is refused on every instance, and let in again on each when the counters say so', async () => {
    const other = await start();
    const onOther = (from: string, password?: string) =>
      other.anonymous.post(
        '/auth/login',
        { username: owner.username, password: password ?? 'a wrong passphrase' },
        { 'x-forwarded-for': from },
      );
    const from = newAddress();
    for (let count = 0; count < PER_ACCOUNT; count += 1) await logIn(from, owner.username);
    expect([(await onOther(from)).status, (await logIn(from, owner.username)).status]).toEqual([429, 429]);
    await database.query('DELETE FROM login_failures WHERE subject LIKE $1', [`%${from}`]);
    for (const { clock } of [app, other]) clock.advanceSeconds(1);
    expect((await onOther(from, USER_PASSWORD)).status).toBe(200);
    expect((await logIn(from, owner.username, USER_PASSWORD)).status).toBe(200);
    await other.stop();
  });

  it('of right passwords is over for everybody as soon as they are let in', async () => {
    const from = newAddress();
    const answered = await statuses(PER_ADDRESS * 2, () => logIn(from, owner.username, USER_PASSWORD));
    expect(answered).toContain(200);
    expect((await logIn(from, owner.username, USER_PASSWORD)).status).toBe(200);
  });

  it('that is counted when the service stops is recorded before it ends', async () => {
    const other = await start();
    const from = newAddress();
    const attempt = () =>
      other.anonymous.post(
        '/auth/login',
        { username: owner.username, password: 'wrong' },
        { 'x-forwarded-for': from },
      );
    for (let count = 0; count < PER_ACCOUNT + 5; count += 1) await attempt();
    expect(await countsOf(from)).toEqual([1]);
    await other.stop();
    expect(await countsOf(from)).toEqual([1, 4]);
  });
});

describe('a name that nobody has', () => {
  let app: TestApp;
  beforeAll(async () => {
    app = await TestApp.start({ environment: { LOGIN_FAILURES_PER_ACCOUNT_AND_ADDRESS: '2' } });
  });
  afterAll(() => app.stop());

  const loginDetails = async () => {
    const rows = await app.database.query<LoginRow>(
      `SELECT details FROM audit_logs WHERE action = 'login' AND NOT success ORDER BY created_at, id`,
    );
    return rows.map(({ details }) => details);
  };

  it('is kept as its keyed digest alone, since people type their password there; a name that a user has is shown', async () => {
    const password = 'Correct horse battery staple';
    const { username } = await app.user();
    const attempts = [password, ` ${password.toUpperCase()} `, 'nobody', username, password];
    for (const name of attempts)
      await app.anonymous.post('/auth/login', { username: name, password: 'wrong' });
    const [first, second, third, known, throttled] = await loginDetails();
    const digest = expect.stringMatching(/^[\w-]{22}$/);
    expect(first).toEqual({ username_digest: digest, reason: 'credentials' });
    expect(second).toEqual(first);
    expect(third).toEqual({ username_digest: digest, reason: 'credentials' });
    expect(third?.['username_digest']).not.toBe(first?.['username_digest']);
    expect(known).toEqual({ username, reason: 'credentials' });
    expect(throttled).toMatchObject({ username_digest: first?.['username_digest'], reason: 'throttled' });
    const subjects = await app.database.query<{ subject: string }>('SELECT subject FROM login_failures');
    const kept = JSON.stringify([subjects, await loginDetails()]).toLowerCase();
    expect(subjects.length).toBeGreaterThan(3);
    expect(kept).not.toContain(password.toLowerCase());
    expect(kept).not.toContain('nobody');
  });

  it('of a disabled user is a name that a user has', async () => {
    const { id, username } = await app.user();
    await app.admin.put(`/users/${id}`, { is_active: false });
    await app.anonymous.post('/auth/login', { username, password: USER_PASSWORD });
    expect((await loginDetails()).at(-1)).toEqual({ username, reason: 'credentials' });
  });
});
