import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { authorityName } from '../../src/events/authority-locks.js';
import type { ApiAnswer, ApiClient } from '../support/api-client.js';
import { LockedTables } from '../support/locked-tables.js';
import { TestApp, type TestApiKey, type TestUser } from '../support/test-app.js';

/** A user, a key of theirs, and a key that this one made. */
interface Line {
  readonly user: TestUser;
  readonly key: TestApiKey;
  readonly child: TestApiKey;
}

const CALLERS: Readonly<Record<string, (app: TestApp, line: Line) => ApiClient>> = {
  'a session': (_app, { user }) => user.client,
  'an API key': (app, { key }) => app.anonymous.withApiKey(key.secret),
  'the child of an API key': (app, { child }) => app.anonymous.withApiKey(child.secret),
};

const ENDINGS: Readonly<
  Record<string, [of: 'user' | 'key', end: (app: TestApp, line: Line) => Promise<ApiAnswer>]>
> = {
  'disabling a user': ['user', (app, { user }) => app.admin.put(`/users/${user.id}`, { is_active: false })],
  'demoting a user': ['user', (app, { user }) => app.admin.put(`/users/${user.id}`, { permissions: [] })],
  'deleting a user': ['user', (app, { user }) => app.admin.delete(`/users/${user.id}`)],
  'changing a password': [
    'user',
    (app, { user }) =>
      app.admin.put(`/users/${user.id}/password`, { new_password: 'another long passphrase' }),
  ],
  'a logout': ['user', (_app, { user }) => user.client.post('/auth/logout')],
  'deactivating a key': ['key', (app, { key }) => app.admin.post(`/api-keys/${key.id}/deactivate`)],
  'changing a key': ['key', (app, { key }) => app.admin.put(`/api-keys/${key.id}`, { scopes: [] })],
  'regenerating a key': ['key', (app, { key }) => app.admin.post(`/api-keys/${key.id}/regenerate`, {})],
  'deleting a key': ['key', (app, { key }) => app.admin.delete(`/api-keys/${key.id}`)],
};

/** A request that waits for a lock for a second is 503: the test was too slow then and has to try again. */
const MOST_TRIES = 5;

describe('of a change and of what takes its authority away, one is first', () => {
  let app: TestApp;
  beforeAll(async () => {
    app = await TestApp.start();
  });
  afterAll(() => app.stop());

  async function newLine(): Promise<Line> {
    const user = await app.user({ permissions: ['platform:api-keys:*'] });
    const key = await app.apiKey(user.client, { scopes: ['platform:api-keys:*'] });
    const child = await app.apiKey(app.anonymous.withApiKey(key.secret), { scopes: ['platform:api-keys:*'] });
    return { user, key, child };
  }

  const create = (client: ApiClient) => client.post('/api-keys', { name: 'A key' });

  /** What `send` answers, which has to wait for the lock; `sql` takes effect as that is released. */
  async function heldUp(
    [kind, id]: readonly [kind: 'user' | 'api_key', id: number],
    mode: 'pg_advisory_xact_lock' | 'pg_advisory_xact_lock_shared',
    send: () => Promise<ApiAnswer>,
    sql = 'SELECT 1',
  ): Promise<ApiAnswer> {
    const held = await LockedTables.lock(app.database, []);
    await held.query(`SELECT ${mode}(hashtextextended('latchkey:authority:' || $1, 0))`, [
      authorityName(kind, id),
    ]);
    let isAnswered = false;
    const answering = send().finally(() => {
      isAnswered = true;
    });
    await held.untilAwaited(1, () => isAnswered);
    expect(isAnswered).toBe(false);
    await held.query(sql);
    await held.release();
    return answering;
  }

  async function eventually(attempt: () => Promise<ApiAnswer>): Promise<ApiAnswer> {
    let answer = await attempt();
    for (let tries = 1; tries < MOST_TRIES && answer.status === 503; tries += 1) answer = await attempt();
    return answer;
  }

  it.each([
    ['a session', 'user'],
    ['an API key', 'user'],
    ['an API key', 'key'],
    ['the child of an API key', 'user'],
    ['the child of an API key', 'key'],
    ['the child of an API key', 'child'],
  ] as const)('a change by %s waits for who is changing the authority of its %s', async (by, of) => {
    const answer = await eventually(async () => {
      const line = await newLine();
      const authority = [of === 'user' ? 'user' : 'api_key', line[of].id] as const;
      return heldUp(authority, 'pg_advisory_xact_lock', () => create(CALLERS[by]!(app, line)));
    });
    expect(answer.status).toBe(201);
  });

  it('a change that waited for who was ending its authority is refused', async () => {
    const answer = await eventually(async () => {
      const line = await newLine();
      const { id } = line.user;
      const sql = `UPDATE users SET is_active = false WHERE id = ${id}`;
      return heldUp(['user', id], 'pg_advisory_xact_lock', () => create(line.user.client), sql);
    });
    expect(answer.status).toBe(401);
  });

  it.each(Object.entries(ENDINGS))(
    '%s waits for the changes that are being committed',
    async (_what, [of, end]) => {
      const answer = await eventually(async () => {
        const line = await newLine();
        const authority = [of === 'user' ? 'user' : 'api_key', line[of].id] as const;
        return heldUp(authority, 'pg_advisory_xact_lock_shared', () => end(app, line));
      });
      expect(answer.status).toBe(200);
    },
  );

  it('changes of one caller do not wait for each other', async () => {
    const { user } = await newLine();
    const held = await LockedTables.lock(app.database, []);
    await held.query(
      `SELECT pg_advisory_xact_lock_shared(hashtextextended('latchkey:authority:user:${user.id}', 0))`,
    );
    expect((await create(user.client)).status).toBe(201);
    await held.release();
  });
});
