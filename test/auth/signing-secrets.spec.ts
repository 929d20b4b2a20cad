import passport from 'passport';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { JwtStrategy } from '../../src/auth/jwt.strategy.js';
import { claimsOf, forged, HEADER, openSession, type TestSession } from '../security/tokens.js';
import { expectProblem } from '../support/problems.js';
import { createTestDatabase, type TestDatabase } from '../support/database.js';
import { TestApp, type TestUser } from '../support/test-app.js';

const OLD_SECRET = 'an old secret of the tests that is long enough for them';
const NEW_SECRET = 'a newer secret of the tests that is long enough for them';

describe('the secret of access tokens is replaced while instances run', () => {
  let database: TestDatabase;
  let before: TestApp;
  let prepared: TestApp;
  let rotated: TestApp;
  let after: TestApp;
  let user: TestUser;
  beforeAll(async () => {
    database = await createTestDatabase();
    const start = (secrets: readonly string[]) =>
      TestApp.start({ database, environment: { JWT_SECRETS: secrets.join(',') } });
    before = await TestApp.start({ database, environment: { JWT_SECRET: OLD_SECRET } });
    prepared = await start([OLD_SECRET, NEW_SECRET]);
    rotated = await start([NEW_SECRET, OLD_SECRET]);
    after = await start([NEW_SECRET]);
    actAlone(before);
    user = await before.user({ role: 'service' });
  });
  afterAll(async () => {
    await Promise.all([before, prepared, rotated, after].map((app) => app.stop()));
    await database.drop();
  });

  /** Passport keeps one strategy for a process; instances are processes of their own. */
  function actAlone(app: TestApp): TestApp {
    passport.use('jwt', app.app.get(JwtStrategy));
    return app;
  }

  /** What an instance answers to a token, on its control plane and on its data plane. */
  async function statuses(
    app: TestApp,
    { accessToken }: Pick<TestSession, 'accessToken'>,
  ): Promise<number[]> {
    const client = actAlone(app).anonymous.withAccessToken(accessToken);
    const answers = [await client.get('/auth/me'), await client.post('/api-keys/verify', { key: 'en_x' })];
    return answers.map(({ status }) => status);
  }

  it('in three steps, and in each of them every instance accepts what the others sign', async () => {
    for (const instances of [
      [before, prepared],
      [prepared, rotated],
      [rotated, after],
    ]) {
      for (const signing of instances) {
        const session = await openSession(signing, user.username);
        for (const app of instances) expect(await statuses(app, session)).toEqual([200, 200]);
      }
    }
  });

  it('the first of the list signs', async () => {
    expect(await statuses(before, await openSession(prepared, user.username))).toEqual([200, 200]);
    expect(await statuses(after, await openSession(rotated, user.username))).toEqual([200, 200]);
  });

  it('and ends what only a removed one has signed', async () => {
    expect(await statuses(after, await openSession(before, user.username))).toEqual([401, 401]);
    expect(await statuses(before, await openSession(after, user.username))).toEqual([401, 401]);
  });

  it('a token that none of the list has signed is refused, whatever its header says of keys', async () => {
    const claims = claimsOf((await openSession(rotated, user.username)).accessToken);
    const tokens = [
      forged(HEADER, claims, `${NEW_SECRET},${OLD_SECRET}`),
      forged(HEADER, claims, ''),
      forged({ ...HEADER, kid: '1' }, claims, OLD_SECRET),
      forged({ ...HEADER, kid: '0' }, claims, NEW_SECRET),
    ];
    for (const token of tokens) {
      expectProblem(
        await actAlone(rotated).anonymous.withAccessToken(token).get('/auth/me'),
        'auth.credential_invalid',
      );
    }
    expect(await statuses(rotated, { accessToken: forged(HEADER, claims, OLD_SECRET) })).toEqual([200, 200]);
  });

  it('a refresh that is repeated on an instance with another order of secrets goes on', async () => {
    const { refreshToken } = await openSession(prepared, user.username);
    const refresh = (app: TestApp) => app.anonymous.post('/auth/refresh', { refresh_token: refreshToken });
    const [first, repeated] = [await refresh(prepared), await refresh(rotated)];
    expect([first.status, repeated.status]).toEqual([200, 200]);
    expect(repeated.body['refresh_token']).toBe(first.body['refresh_token']);
  });
});
