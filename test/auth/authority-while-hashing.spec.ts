import bcrypt from 'bcrypt';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import type { ApiAnswer, ApiClient } from '../support/api-client.js';
import { expectProblem } from '../support/problems.js';
import { TestApp, type TestUser, USER_PASSWORD } from '../support/test-app.js';

const NEW_PASSWORD = 'another long passphrase';

/** Those forms of its functions that the service calls. */
interface Bcrypt {
  hash: (password: string, cost: number) => Promise<string>;
  compare: (password: string, reference: string) => Promise<boolean>;
}

/** Keeps bcrypt from beginning, as if it were very slow; every other caller in the process goes through an open gate. */
class BcryptGate {
  #opened: Promise<void> = Promise.resolve();
  #reached: () => void = () => undefined;
  open: () => void = () => undefined;

  constructor() {
    const waiting: Bcrypt = bcrypt;
    const { hash, compare } = waiting;
    vi.spyOn(waiting, 'hash').mockImplementation(async (password: string, cost: number) => {
      await this.#pass();
      return hash(password, cost);
    });
    vi.spyOn(waiting, 'compare').mockImplementation(async (password: string, reference: string) => {
      await this.#pass();
      return compare(password, reference);
    });
  }

  /** Resolves once a password waits. */
  close(): Promise<void> {
    this.#opened = new Promise((resolve) => {
      this.open = resolve;
    });
    return new Promise((resolve) => {
      this.#reached = resolve;
    });
  }

  async #pass(): Promise<void> {
    this.#reached();
    await this.#opened;
  }
}

type Ask = (app: TestApp, user: TestUser, other: TestUser) => Promise<ApiAnswer>;

const REQUESTS: Readonly<Record<string, Ask>> = {
  'makes an admin': (_app, { client }) =>
    client.post('/users', { username: 'an-heir', password: NEW_PASSWORD, role: 'admin' }),
  'sets the password of another': (_app, { client }, other) =>
    client.put(`/users/${other.id}/password`, { new_password: NEW_PASSWORD }),
  'sets their own password': (_app, { id, client }) =>
    client.put(`/users/${id}/password`, { current_password: USER_PASSWORD, new_password: NEW_PASSWORD }),
};

const TAKINGS: Readonly<Record<string, (app: TestApp, user: TestUser) => Promise<ApiAnswer>>> = {
  'is disabled': (app, { id }) => app.admin.put(`/users/${id}`, { is_active: false }),
  'is deleted': (app, { id }) => app.admin.delete(`/users/${id}`),
  'logs out': (_app, { client }) => client.post('/auth/logout'),
};

describe('a caller that waits for bcrypt has no more authority than when it is done', () => {
  let app: TestApp;
  let gate: BcryptGate;
  beforeAll(async () => {
    gate = new BcryptGate();
    app = await TestApp.start();
  });
  afterAll(async () => {
    vi.restoreAllMocks();
    await app.stop();
  });

  /** Sends a request, lets `meanwhile` happen while its password is waiting, and answers what it answers. */
  async function whileHashing(
    send: () => Promise<ApiAnswer>,
    meanwhile: () => Promise<unknown>,
  ): Promise<ApiAnswer> {
    const isWaiting = gate.close();
    const answering = send();
    await isWaiting;
    await meanwhile();
    gate.open();
    return answering;
  }

  const isUser = async (username: string, password: string): Promise<boolean> =>
    (await app.anonymous.post('/auth/login', { username, password })).status === 200;

  const cases = Object.keys(REQUESTS).flatMap((request) =>
    Object.keys(TAKINGS).map((taking) => [request, taking]),
  );
  it.each(cases)(
    'one who %s and %s meanwhile is refused, and nothing has changed',
    async (request, taking) => {
      const [user, other] = [await app.user({ role: 'admin' }), await app.user()];
      const answer = await whileHashing(
        () => REQUESTS[request]!(app, user, other),
        async () => expect(await TAKINGS[taking]!(app, user)).toMatchObject({ status: 200 }),
      );
      expectProblem(answer, 'auth.credential_invalid');
      expect(await isUser('an-heir', NEW_PASSWORD)).toBe(false);
      expect(await isUser(other.username, USER_PASSWORD)).toBe(true);
      expect(await isUser(user.username, NEW_PASSWORD)).toBe(false);
    },
  );

  it.each(['is deactivated', 'is deleted', 'has what it came from deactivated'])(
    'an API key that makes an admin and %s meanwhile is refused, and nothing has changed',
    async (taking) => {
      const owner = await app.user({ role: 'admin' });
      const above = await app.apiKey(owner.client, { scopes: ['platform:*'] });
      const key = await app.apiKey(app.anonymous.withApiKey(above.secret), { scopes: ['platform:*'] });
      const ending = taking === 'has what it came from deactivated' ? above.id : key.id;
      const answer = await whileHashing(
        () =>
          app.anonymous
            .withApiKey(key.secret)
            .post('/users', { username: 'an-heir', password: NEW_PASSWORD, role: 'admin' }),
        async () => {
          const ended =
            taking === 'is deleted'
              ? await app.admin.delete(`/api-keys/${ending}`)
              : await app.admin.post(`/api-keys/${ending}/deactivate`);
          expect(ended.status).toBe(200);
        },
      );
      expectProblem(answer, 'auth.credential_invalid');
      expect(await isUser('an-heir', NEW_PASSWORD)).toBe(false);
    },
  );

  it('one who is demoted meanwhile is refused what they lack by then, and may do what they still may', async () => {
    const demoted = async (user: TestUser) => {
      const answer = await app.admin.put(`/users/${user.id}`, {
        role: 'user',
        permissions: ['platform:users:*'],
      });
      expect(answer.status).toBe(200);
    };
    const make = (client: ApiClient, username: string, role: string) =>
      client.post('/users', { username, password: NEW_PASSWORD, role });
    const [first, second] = [await app.user({ role: 'admin' }), await app.user({ role: 'admin' })];
    const refused = await whileHashing(
      () => make(first.client, 'an-auditor', 'auditor'),
      () => demoted(first),
    );
    expectProblem(refused, 'permission.denied');
    const made = await whileHashing(
      () => make(second.client, 'a-user', 'user'),
      () => demoted(second),
    );
    expect(made.status).toBe(201);
  });

  it('one who logs in and is disabled or given another password meanwhile has no session', async () => {
    for (const change of ['is disabled', 'is given another password']) {
      const user = await app.user();
      const answer = await whileHashing(
        () => app.anonymous.post('/auth/login', { username: user.username, password: USER_PASSWORD }),
        () =>
          app.database.query(
            change === 'is disabled'
              ? 'UPDATE users SET is_active = false WHERE id = $1'
              : `UPDATE users SET password_hash = 'x' WHERE id = $1`,
            [user.id],
          ),
      );
      expectProblem(answer, 'auth.login_failed');
    }
  });
});
