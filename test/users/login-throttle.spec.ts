import pg from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { PasswordHasher } from '../../src/users/password-hasher.service.js';
import type { ApiAnswer } from '../support/api-client.js';
import { auditRowsOf, expectOneAuditRow } from '../support/audit-trail.js';
import { untilWaiting } from '../support/locked-row.js';
import { expectInvalid, expectProblem } from '../support/problems.js';
import { TestApp, type TestUser, USER_PASSWORD } from '../support/test-app.js';
import { comparisonsDuring } from './password-hashing.js';

const PER_ACCOUNT = 5;
const PER_ADDRESS = 12;
const WINDOW_SECONDS = 600;

describe('the throttle of logins', () => {
  let app: TestApp;
  let owner: TestUser;
  let addresses = 0;
  beforeAll(async () => {
    app = await TestApp.start({
      environment: {
        TRUSTED_PROXIES: '127.0.0.1',
        LOGIN_FAILURES_PER_ACCOUNT_AND_ADDRESS: String(PER_ACCOUNT),
        LOGIN_FAILURES_PER_ADDRESS: String(PER_ADDRESS),
        LOGIN_FAILURE_WINDOW_SECONDS: String(WINDOW_SECONDS),
      },
    });
    owner = await app.user();
  });
  afterAll(() => app.stop());

  /** An address that nobody has called from. */
  const newAddress = () => `198.51.100.${(addresses += 1)}`;

  function logIn(from: string, username: string, password = 'a wrong passphrase'): Promise<ApiAnswer> {
    return app.anonymous.post('/auth/login', { username, password }, { 'x-forwarded-for': from });
  }

  /** An instance believes for a second what the database said of a refusal. */
  const askDatabaseAgain = () => app.clock.advanceSeconds(1);

  async function fail(times: number, from: string, username: string = owner.username): Promise<void> {
    for (let count = 0; count < times; count += 1) {
      expectProblem(await logIn(from, username), 'auth.login_failed');
    }
  }

  async function expectLetIn(from: string, username: string = owner.username): Promise<void> {
    expect((await logIn(from, username, USER_PASSWORD)).status).toBe(200);
  }

  async function expectThrottled(from: string, username: string = owner.username): Promise<void> {
    const answer = await logIn(from, username, USER_PASSWORD);
    expectProblem(answer, 'auth.too_many_failures', 'Too many logins have failed; wait before the next.');
    const seconds = Number(answer.headers.get('retry-after'));
    expect(Number.isInteger(seconds) && seconds >= 1 && seconds <= WINDOW_SECONDS).toBe(true);
  }

  it('refuses an account from an address after so many failures, with the right password too', async () => {
    const from = newAddress();
    await fail(PER_ACCOUNT, from);
    await expectThrottled(from);
  });

  it('never locks the owner out from another address', async () => {
    const from = newAddress();
    await fail(PER_ACCOUNT, from);
    await expectThrottled(from);
    await expectLetIn(newAddress());
  });

  it('never ends a session that lives', async () => {
    const from = newAddress();
    await fail(PER_ACCOUNT, from);
    await expectThrottled(from);
    expect((await owner.client.get('/auth/me')).status).toBe(200);
  });

  it('leaves other accounts at the address alone', async () => {
    const [from, neighbour] = [newAddress(), await app.user()];
    await fail(PER_ACCOUNT, from);
    await expectLetIn(from, neighbour.username);
  });

  it('refuses an address after so many failures over all accounts, and no other address', async () => {
    const [from, neighbour] = [newAddress(), await app.user()];
    for (let count = 0; count < PER_ADDRESS; count += 1) await fail(1, from, `nobody-${count}`);
    await expectThrottled(from, neighbour.username);
    await expectLetIn(newAddress(), neighbour.username);
  });

  it('counts failures only: a success gives back what it took', async () => {
    const from = newAddress();
    for (let round = 0; round < 3; round += 1) {
      await fail(3, from);
      for (let count = 0; count < 4; count += 1) await expectLetIn(from);
    }
    // Nine failures stand against the address, none against the account.
    await fail(PER_ADDRESS - 9, from);
    await expectThrottled(from);
  });

  it('counts no attempt that it refused against anything else', async () => {
    const from = newAddress();
    for (let count = 0; count < PER_ADDRESS; count += 1) await fail(1, from, `stranger-${count}`);
    for (let count = 0; count < PER_ACCOUNT + 1; count += 1) await expectThrottled(from);
    await app.database.query(`DELETE FROM login_failures WHERE subject = $1`, [`address ${from}`]);
    askDatabaseAgain();
    await expectLetIn(from);

    const other = newAddress();
    await fail(PER_ACCOUNT, other);
    for (let count = 0; count < PER_ADDRESS + 1; count += 1) await expectThrottled(other);
    await expectLetIn(other, (await app.user()).username);
  });

  it('keeps no row for each name that a refused address tries', async () => {
    const from = newAddress();
    for (let count = 0; count < PER_ADDRESS; count += 1) await fail(1, from, `known-${count}`);
    const rows = () => app.database.query('SELECT FROM login_failures');
    const before = (await rows()).length;
    for (let count = 0; count < 10; count += 1) await logIn(from, `made-up-${count}`);
    expect((await rows()).length).toBe(before);
  });

  it('looks at no more guesses than allowed when fifty come at once', async () => {
    const from = newAddress();
    let answers: ApiAnswer[] = [];
    const looked = await comparisonsDuring(async () => {
      answers = await Promise.all(Array.from({ length: 50 }, () => logIn(from, owner.username)));
    });
    const statuses = answers.map(({ status }) => status);
    expect(statuses.filter((status) => status === 401)).toHaveLength(PER_ACCOUNT);
    expect(statuses.filter((status) => status === 429)).toHaveLength(50 - PER_ACCOUNT);
    expect(looked).toBe(PER_ACCOUNT);
  });

  it('looks at no more guesses over many accounts than allowed when fifty come at once', async () => {
    const from = newAddress();
    const looked = await comparisonsDuring(() =>
      Promise.all(Array.from({ length: 50 }, (_, index) => logIn(from, `someone-${index}`))),
    );
    expect(looked).toBe(PER_ADDRESS);
  });

  it('tells nobody whether the account exists', async () => {
    const from = newAddress();
    await fail(PER_ACCOUNT, from, 'no-such-account');
    await expectThrottled(from, 'no-such-account');
  });

  it('takes the spellings of a name for one', async () => {
    const from = newAddress();
    const name = owner.username;
    for (const spelling of [name, name.toUpperCase(), ` ${name}`, `${name} `, `\t${name}`])
      await fail(1, from, spelling);
    await expectThrottled(from);
  });

  it('takes the spellings of an address for one, and an IPv6 network for one address', async () => {
    const spellings = [
      '2001:db8:1:1::1',
      '2001:DB8:1:1:0:0:0:2',
      '2001:0db8:0001:0001::3',
      '2001:db8:1:1:f::',
      '2001:db8:1:1::5',
    ];
    for (const spelling of spellings) await fail(1, spelling);
    await expectThrottled('2001:db8:1:1:ffff:ffff:ffff:ffff');
    await expectLetIn('2001:db8:1:2::1');
  });

  it('is over when its window has passed', async () => {
    const from = newAddress();
    await fail(PER_ACCOUNT, from);
    await expectThrottled(from);
    await app.database.query(`UPDATE login_failures SET window_ends_at = now() WHERE subject LIKE $1`, [
      `%${from}`,
    ]);
    askDatabaseAgain();
    await expectLetIn(from);
    await fail(PER_ACCOUNT, from);
    await expectThrottled(from);
  });

  it('counts on in a window that began a moment later, on a statement that waited for the same row', async () => {
    const from = newAddress();
    await fail(PER_ACCOUNT - 1, from);
    const begun = `now() + interval '${WINDOW_SECONDS + 5} seconds'`;
    await app.database.query(`UPDATE login_failures SET window_ends_at = ${begun} WHERE subject LIKE $1`, [
      `%${from}`,
    ]);
    await fail(1, from);
    await expectThrottled(from);
  });

  it('leaves a row of the first refusal before it is answered', async () => {
    const from = newAddress();
    await fail(PER_ACCOUNT, from);
    await expectOneAuditRow(app.database, await logIn(from, owner.username), {
      action: 'login',
      details: { username: owner.username, reason: 'throttled', count: 1, since: expect.any(String) },
      ip_address: from,
      user_id: null,
      success: false,
    });
  });

  it('takes back an attempt that failed by our own fault, and no failure before it', async () => {
    const from = newAddress();
    await fail(PER_ACCOUNT - 1, from);
    await app.database.query('ALTER TABLE sessions RENAME TO away');
    for (let count = 0; count < 3; count += 1)
      expect((await logIn(from, owner.username, USER_PASSWORD)).status).toBe(500);
    await app.database.query('ALTER TABLE away RENAME TO sessions');
    await fail(1, from);
    await expectThrottled(from);
  });

  it('answers a right password whose count cannot be taken back: else its session would be one that nobody has', async () => {
    const from = newAddress();
    await fail(1, from);
    await app.database.query(`
      CREATE FUNCTION keep_failures() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'injected'; END $$;
      CREATE TRIGGER keep BEFORE DELETE ON login_failures FOR EACH STATEMENT EXECUTE FUNCTION keep_failures();
      CREATE TRIGGER keep_count BEFORE UPDATE ON login_failures FOR EACH ROW WHEN (NEW.failures < OLD.failures)
        EXECUTE FUNCTION keep_failures()`);
    const answer = await logIn(from, owner.username, USER_PASSWORD);
    await app.database.query('DROP FUNCTION keep_failures CASCADE');
    expect(answer.status).toBe(200);
  });

  const changePassword = (from: string, current = 'a wrong passphrase', user = owner): Promise<ApiAnswer> =>
    user.client.put(
      `/users/${user.id}/password`,
      { current_password: current, new_password: 'a new long passphrase' },
      { 'x-forwarded-for': from },
    );

  it('counts wrong current passwords of a change with failed logins; each leaves a row, and the first refusal one', async () => {
    const from = newAddress();
    const row = { action: 'set_user_password', resource_type: 'user', resource_id: String(owner.id) };
    await fail(PER_ACCOUNT - 2, from);
    for (const _attempt of [1, 2]) {
      const answer = await changePassword(from);
      expectInvalid(answer, { field: 'current_password', message: 'must be the current password' });
      await expectOneAuditRow(app.database, answer, {
        ...row,
        details: { reason: 'credentials' },
        ip_address: from,
        user_id: owner.id,
        success: false,
      });
    }
    const refused = await changePassword(from, USER_PASSWORD);
    expectProblem(refused, 'auth.too_many_failures');
    await expectOneAuditRow(app.database, refused, {
      ...row,
      details: { reason: 'throttled', count: 1, since: expect.any(String) },
      ip_address: from,
      user_id: owner.id,
      success: false,
    });
    // The others of a minute are counted in one row.
    for (const _attempt of [1, 2, 3]) {
      const answer = await changePassword(from);
      expectProblem(answer, 'auth.too_many_failures');
      expect(await auditRowsOf(app.database, answer)).toEqual([]);
    }
    await expectThrottled(from);
    await expectLetIn(newAddress());
  });

  it.each([
    ['a login', (from: string, user: TestUser) => logIn(from, user.username, USER_PASSWORD)],
    ['a change of a password', (from: string, user: TestUser) => changePassword(from, USER_PASSWORD, user)],
  ])('takes %s back that found bcrypt overloaded', async (_name, attempt) => {
    const [from, user] = [newAddress(), await app.user()];
    await fail(2, from, user.username);
    const failures = () =>
      app.database.query(
        `SELECT subject, failures FROM login_failures WHERE subject LIKE '%' || $1 ORDER BY subject`,
        [from],
      );
    const before = await failures();
    expect(before).toHaveLength(2);
    // It is counted while bcrypt has room, and compares when there is none.
    const client = new pg.Client({ connectionString: app.database.url });
    await client.connect();
    await client.query(`BEGIN; SELECT FROM login_failures WHERE subject = 'address ${from}' FOR UPDATE`);
    const answer = attempt(from, user);
    await untilWaiting(app.database, 1);
    const hasher = app.app.get(PasswordHasher);
    let isFull = true;
    const work = Array.from({ length: 102 }, async () => {
      while (isFull) await hasher.hash('another passphrase');
    });
    await client.query('COMMIT');
    await client.end();
    expectProblem(await answer, 'service.overloaded');
    // And one that finds it so from the start is not counted at all.
    expectProblem(await attempt(from, user), 'service.overloaded');
    isFull = false;
    await Promise.all(work);
    expect(await failures()).toEqual(before);
  });
});
