import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { claimsOf, encoded, openSession, type TestSession } from '../security/tokens.js';
import { createTestDatabase, type TestDatabase } from '../support/database.js';
import { TestApp, type TestUser, USER_PASSWORD } from '../support/test-app.js';

/** How long a decision may take to reach a caller who is known from memory. */
const FEED_BOUND_MS = 5_000;

describe('a caller whom the data plane knows from memory', () => {
  let database: TestDatabase;
  let here: TestApp;
  let elsewhere: TestApp;
  beforeAll(async () => {
    database = await createTestDatabase();
    here = await TestApp.start({ database });
    elsewhere = await TestApp.start({ database });
  });
  afterAll(async () => {
    await Promise.all([here.stop(), elsewhere.stop()]);
    await database.drop();
  });

  /** What an instance answers to a token on a route of the data plane. */
  async function ask(app: TestApp, token: string): Promise<number> {
    const { status } = await app.anonymous
      .withAccessToken(token)
      .post('/api-keys/verify', { key: 'en_unknown' });
    return status;
  }

  async function knownCaller(): Promise<{ user: TestUser; session: TestSession }> {
    const user = await here.user({ role: 'service' });
    const session = await openSession(here, user.username);
    for (const app of [here, elsewhere, here, elsewhere])
      expect(await ask(app, session.accessToken)).toBe(200);
    return { user, session };
  }

  const decisions: Record<
    string,
    [status: number, decide: (known: Awaited<ReturnType<typeof knownCaller>>) => Promise<unknown>]
  > = {
    'has logged out': [401, ({ session }) => session.client.post('/auth/logout')],
    'has a new password': [
      401,
      ({ user, session }) =>
        session.client.put(`/users/${user.id}/password`, {
          current_password: USER_PASSWORD,
          new_password: 'another long passphrase',
        }),
    ],
    'was given a new password': [
      401,
      ({ user }) => here.admin.put(`/users/${user.id}/password`, { new_password: 'another long passphrase' }),
    ],
    'was disabled': [401, ({ user }) => here.admin.put(`/users/${user.id}`, { is_active: false })],
    'was deleted': [401, ({ user }) => here.admin.delete(`/users/${user.id}`)],
    'lost the permission': [403, ({ user }) => here.admin.put(`/users/${user.id}`, { role: 'user' })],
    'had a refresh token stolen': [
      401,
      async ({ session: { refreshToken } }) => {
        for (const _use of [1, 2]) {
          await here.anonymous.post('/auth/refresh', { refresh_token: refreshToken });
          here.clock.advanceSeconds(10);
        }
      },
    ],
  };
  it.each(Object.keys(decisions))(
    'is refused on every instance soon after they %s, and stays so',
    async (name) => {
      const [status, decide] = decisions[name]!;
      const known = await knownCaller();
      const { accessToken } = known.session;
      await decide(known);
      for (const app of [here, elsewhere]) {
        const isRefused = async () => (await ask(app, accessToken)) === status;
        await vi.waitUntil(isRefused, { timeout: FEED_BOUND_MS, interval: 5 });
      }
      const later = await Promise.all([here, elsewhere, here, elsewhere].map((app) => ask(app, accessToken)));
      expect(later).toEqual([status, status, status, status]);
    },
  );

  it('is nobody by a token that only begins or ends like theirs', async () => {
    const { accessToken } = (await knownCaller()).session;
    const [header, , signature] = accessToken.split('.') as [string, string, string];
    const others = [
      `${accessToken}x`,
      accessToken.slice(0, -1),
      accessToken.toLowerCase(),
      `${header}.${encoded({ ...claimsOf(accessToken), sub: '1' })}.${signature}`,
      `${header}..${signature}`,
    ];
    for (const other of others) expect(await ask(here, other)).toBe(401);
    expect(await ask(here, accessToken)).toBe(200);
  });

  it('is given a new permission on every instance soon after it was given', async () => {
    const user = await here.user();
    const { accessToken } = await openSession(here, user.username);
    for (const app of [here, elsewhere]) expect(await ask(app, accessToken)).toBe(403);
    await here.admin.put(`/users/${user.id}`, { permissions: ['platform:api-keys:verify'] });
    for (const app of [here, elsewhere]) {
      const isLetIn = async () => (await ask(app, accessToken)) === 200;
      await vi.waitUntil(isLetIn, { timeout: FEED_BOUND_MS, interval: 5 });
    }
  });
});
