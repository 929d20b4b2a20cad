import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { FeedPool } from '../../src/database/pools.js';
import type { ApiClient } from '../support/api-client.js';
import { TestApp, type TestUser, USER_PASSWORD } from '../support/test-app.js';

const NEW_PASSWORD = 'another long passphrase';
const SESSION_SECONDS = 60;

/** What ends the session that a caller of the data plane uses. */
const ENDINGS: Readonly<Record<string, (app: TestApp, user: TestUser, own: ApiClient) => Promise<unknown>>> =
  {
    'a logout': (_app, _user, own) => own.post('/auth/logout'),
    'a change of their own password': (_app, user, own) =>
      own.put(`/users/${user.id}/password`, { current_password: USER_PASSWORD, new_password: NEW_PASSWORD }),
    'a change of their password by an admin': (app, user) =>
      app.admin.put(`/users/${user.id}/password`, { new_password: NEW_PASSWORD }),
    'being disabled': (app, user) => app.admin.put(`/users/${user.id}`, { is_active: false }),
    'being deleted': (app, user) => app.admin.delete(`/users/${user.id}`),
  };

describe('an access token that was ended is never accepted again by the instance that ended it', () => {
  let app: TestApp;
  beforeAll(async () => {
    app = await TestApp.start({ environment: { REFRESH_TOKEN_TTL_SECONDS: String(SESSION_SECONDS) } });
  });
  afterAll(() => app.stop());

  const ask = async (client: ApiClient): Promise<number> =>
    (await client.post('/api-keys/verify', { key: 'en_x' })).status;

  it.each(Object.entries(ENDINGS))('also at once after %s', async (_what, end) => {
    for (let round = 0; round < 5; round += 1) {
      const user = await app.user({ role: 'service' });
      expect(await ask(user.client)).toBe(200);
      expect(await end(app, user, user.client)).toMatchObject({ status: 200 });
      expect(await ask(user.client)).toBe(401);
    }
  });

  it.each(Object.entries(ENDINGS))(
    'nor while the change feed cannot be read, after %s',
    async (_what, end) => {
      const user = await app.user({ role: 'service' });
      // The only connection of the feed: until it is given back, nothing can be read.
      const connection = await app.app.get(FeedPool).connect();
      try {
        expect(await ask(user.client)).toBe(200);
        expect(await end(app, user, user.client)).toMatchObject({ status: 200 });
        // 503 where the test took so long that memory is not used at all any more.
        expect([401, 503]).toContain(await ask(user.client));
      } finally {
        connection.release();
      }
    },
  );

  it('nor after its session has come to its end by itself, though the token would last longer', async () => {
    const user = await app.user({ role: 'service' });
    expect(await ask(user.client)).toBe(200);
    app.clock.advanceSeconds(SESSION_SECONDS + 1);
    expect(await ask(user.client)).toBe(401);
  });
});
