import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { createTestDatabase, type TestDatabase } from '../support/database.js';
import { TcpProxy } from '../support/tcp-proxy.js';
import { logIn, TestApp, type TestApiKey, type TestUser, USER_PASSWORD } from '../support/test-app.js';
import { codeOf, settle } from './verdicts.js';

const BOUND_MS = 5_000;

/** What ends a key, through the API of one instance. */
const ENDINGS: readonly (readonly [
  what: string,
  end: (app: TestApp, key: TestApiKey, owner: TestUser) => Promise<{ status: number }>,
  code: string,
])[] = [
  ['regenerate', ({ admin }, { id }) => admin.post(`/api-keys/${id}/regenerate`), 'NOT_FOUND'],
  ['deactivate', ({ admin }, { id }) => admin.post(`/api-keys/${id}/deactivate`), 'DISABLED'],
  ['delete', ({ admin }, { id }) => admin.delete(`/api-keys/${id}`), 'NOT_FOUND'],
  [
    'an update',
    ({ admin }, { id }) => admin.put(`/api-keys/${id}`, { allowed_ips: ['192.0.2.1'] }),
    'IP_NOT_ALLOWED',
  ],
  [
    'the owner disabled',
    ({ admin }, _, { id }) => admin.put(`/users/${id}`, { is_active: false }),
    'DISABLED',
  ],
  ['the owner deleted', ({ admin }, _, { id }) => admin.delete(`/users/${id}`), 'NOT_FOUND'],
];

describe('a dead key is dead', () => {
  let database: TestDatabase;
  let proxy: TcpProxy;
  let acting: TestApp;
  let another: TestApp;
  /** Its notifications go into a black hole. */
  let deaf: TestApp;

  beforeAll(async () => {
    database = await createTestDatabase();
    proxy = await TcpProxy.start(database.url);
    proxy.swallow('LISTEN latchkey_changes');
    acting = await TestApp.start({ database });
    another = await TestApp.start({ database });
    deaf = await TestApp.start({ database, environment: { DATABASE_URL: proxy.urlOf(database.url) } });
  });
  afterAll(async () => {
    await Promise.all([acting.stop(), another.stop(), deaf.stop()]);
    proxy.stop();
    await database.drop();
  });

  /** A key that every instance knows as valid, and its owner. */
  async function knownKey(): Promise<{ key: TestApiKey; owner: TestUser }> {
    const owner = await acting.user({ permissions: ['platform:*'] });
    const key = await acting.apiKey(owner.client);
    for (const app of [acting, another, deaf]) expect(await codeOf(app.admin, key.secret)).toBe('VALID');
    return { key, owner };
  }

  /** Never valid again, from some moment within the bound on. */
  async function expectDead(app: TestApp, { secret }: TestApiKey, code: string): Promise<void> {
    await vi.waitFor(async () => expect(await codeOf(app.admin, secret)).toBe(code), {
      timeout: BOUND_MS,
      interval: 1,
    });
    for (let n = 0; n < 5; n += 1) expect(await codeOf(app.admin, secret)).toBe(code);
  }

  it.each(ENDINGS)('once %s is answered, for every caller of the same instance', async (_what, end, code) => {
    for (let trial = 0; trial < 5; trial += 1) {
      const { key, owner } = await knownKey();
      expect((await end(acting, key, owner)).status).toBe(200);
      expect(await codeOf(acting.admin, key.secret)).toBe(code);
    }
  });

  it.each(ENDINGS)(
    'after %s: on the instance that did it, on another, and on one that hears no notification',
    async (_what, end, code) => {
      const { key, owner } = await knownKey();
      expect((await end(acting, key, owner)).status).toBe(200);
      await Promise.all([acting, another, deaf].map((app) => expectDead(app, key, code)));
    },
  );

  it.each(ENDINGS)('after %s: on an idle instance at the first question', async (_what, end, code) => {
    const { key, owner } = await knownKey();
    await end(acting, key, owner);
    // It reads by itself; asking it to is only not to wait for that.
    await Promise.all([settle(another), settle(deaf)]);
    expect(await codeOf(another.admin, key.secret)).toBe(code);
    expect(await codeOf(deaf.admin, key.secret)).toBe(code);
  });

  it('after its expiry, from memory, on each', async () => {
    const expiresAt = new Date(Date.now() + 3_600_000).toISOString();
    const { secret } = await acting.apiKey(acting.admin, { expires_at: expiresAt });
    for (const app of [acting, another, deaf]) {
      expect(await codeOf(app.admin, secret)).toBe('VALID');
      app.clock.advanceSeconds(3_601);
      const again = await logIn(app.anonymous, 'admin', 'a long admin passphrase');
      expect(await codeOf(again, secret)).toBe('EXPIRED');
      app.clock.advanceSeconds(-3_601);
    }
  });

  it('and while the connections that hear of changes are ended again and again', async () => {
    let isOver = false;
    const ending = (async () => {
      while (!isOver) {
        await database.query(
          `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
           WHERE application_name = 'latchkey-listener' AND datname = current_database()`,
        );
      }
    })();
    try {
      for (let n = 0; n < 5; n += 1) {
        const { key } = await knownKey();
        await acting.admin.post(`/api-keys/${key.id}/deactivate`);
        await Promise.all([acting, another, deaf].map((app) => expectDead(app, key, 'DISABLED')));
      }
    } finally {
      isOver = true;
      await ending;
    }
  });

  it('and a caller who was logged out, disabled or locked out of a permission is refused everywhere', async () => {
    const permissions = ['platform:api-keys:verify'];
    const endings: readonly ((user: TestUser) => Promise<unknown>)[] = [
      ({ client }) => client.post('/auth/logout'),
      ({ id }) => acting.admin.put(`/users/${id}`, { is_active: false }),
      ({ id }) => acting.admin.put(`/users/${id}`, { permissions: [] }),
      ({ id }) => acting.admin.put(`/users/${id}/password`, { new_password: `${USER_PASSWORD} anew` }),
    ];
    for (const end of endings) {
      const user = await acting.user({ permissions });
      const token = await tokenOf(acting, user.username);
      const statusOn = async (app: TestApp) =>
        (await app.anonymous.withAccessToken(token).post('/api-keys/verify', { key: 'x' })).status;
      const statuses = () => Promise.all([acting, another, deaf].map(statusOn));
      expect(await statuses()).toEqual([200, 200, 200]);
      await end({ ...user, client: acting.anonymous.withAccessToken(token) });
      await vi.waitFor(
        async () => expect((await statuses()).every((status) => status === 401 || status === 403)).toBe(true),
        { timeout: BOUND_MS, interval: 1 },
      );
    }
  });
});

async function tokenOf({ anonymous }: TestApp, username: string): Promise<string> {
  const answer = await anonymous.post('/auth/login', { username, password: USER_PASSWORD });
  return String(answer.body['access_token']);
}
