import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { ApiAnswer, ApiClient } from '../support/api-client.js';
import { auditRowsOf } from '../support/audit-trail.js';
import { LockedTables } from '../support/locked-tables.js';
import { usageEvent } from '../support/usage-events.js';
import { TestApp, type TestApiKey, type TestUser } from '../support/test-app.js';
import { databaseContents } from './database-contents.js';
import { type DeclaredRoute, declaredRoutes, validBody, withId } from './routes.js';
import { openSession } from './tokens.js';

/** Who asks for a change, by which credential. */
interface Asking {
  readonly user: TestUser;
  readonly key: TestApiKey;
  /** What the key came from. */
  readonly above: TestApiKey;
  readonly client: ApiClient;
}

/** What changes are asked of. */
interface Target {
  readonly user: TestUser;
  readonly key: TestApiKey;
  /** One in its grace period. */
  readonly secretId: string;
  readonly eventId: number;
  /** Open ones, to the default organization and to its project. */
  readonly invitationIds: readonly [number, number];
  readonly serviceAccountId: number;
}

/** How authority is taken away, in SQL with `$USER`, `$KEY` and `$ABOVE`, and what is answered then. */
type Takings = Readonly<Record<string, readonly [sql: string, status: 401 | 403]>>;

const TAKEN_FROM_SESSION: Takings = {
  'logs out': [`UPDATE sessions SET ended_at = now() WHERE user_id = $USER`, 401],
  'is disabled': [
    `UPDATE users SET is_active = false WHERE id = $USER;
     UPDATE sessions SET ended_at = now() WHERE user_id = $USER`,
    401,
  ],
  'is given another password': [
    `UPDATE users SET password_hash = 'x' WHERE id = $USER;
     UPDATE sessions SET ended_at = now() WHERE user_id = $USER`,
    401,
  ],
  'is demoted': [`UPDATE users SET permissions = '{}' WHERE id = $USER`, 403],
};
const TAKEN_FROM_KEY: Takings = {
  'is deactivated': ['UPDATE api_keys SET is_active = false WHERE id = $KEY', 401],
  'loses its scopes': [`UPDATE api_keys SET scopes = '{}' WHERE id = $KEY`, 403],
  expires: [`UPDATE api_keys SET expires_at = now() - interval '1 hour' WHERE id = $KEY`, 401],
  'is kept to other addresses': [`UPDATE api_keys SET allowed_ips = '{192.0.2.1}' WHERE id = $KEY`, 401],
  'is given another secret': ['DELETE FROM api_key_secrets WHERE api_key_id = $KEY', 401],
  'is deleted': ['UPDATE api_keys SET is_active = false, deleted_at = now() WHERE id = $KEY', 401],
  'has what it came from deactivated': ['UPDATE api_keys SET is_active = false WHERE id = $ABOVE', 401],
  'has the scopes taken from what it came from': [`UPDATE api_keys SET scopes = '{}' WHERE id = $ABOVE`, 403],
  'has its owner disabled': ['UPDATE users SET is_active = false WHERE id = $USER', 401],
  'has its owner demoted': [`UPDATE users SET permissions = '{}' WHERE id = $USER`, 403],
};

/** Written without a change: what was asked for, and by whom. */
const TRACES = ['audit_logs', 'audit_log_numbering', 'audit_log_digests'];

/** Where changes are held: what they wait for first. */
const HELD = [
  'users',
  'sessions',
  'api_keys',
  'usage_reversals',
  'organizations',
  'projects',
  'invitations',
  'policies',
  'budget_accounts',
];

/** Bodies with which a change really has something to write. */
const BODIES: Readonly<Record<string, object>> = {
  update_organization_budget: { limit_cents: 1 },
  update_project_budget: { limit_cents: 1 },
};

/** A change that waits for a lock for a second answers 503: the test was too slow then and has to try again. */
const MOST_TRIES = 5;

describe('authority counts when a change commits', { timeout: 60_000 }, () => {
  let app: TestApp;
  let target: Target;
  let routes: DeclaredRoute[];
  beforeAll(async () => {
    app = await TestApp.start({ environment: { DATABASE_POOL_SIZE: '50' } });
    target = await newTarget();
    routes = declaredRoutes(app.app).filter(
      ({ method, access, isDataPlane }) => method !== 'GET' && access !== 'public' && !isDataPlane,
    );
  });
  afterAll(() => app.stop());

  async function newTarget(): Promise<Target> {
    const user = await app.user();
    const key = await app.apiKeyOf(user);
    const grace = await app.admin.post(`/api-keys/${key.id}/regenerate`, { grace_period_seconds: 3_600 });
    const secrets = grace.body['api_key'].secrets as { id: string; retires_at: string | null }[];
    const event = usageEvent(key.id, { request_id: 'reported once' });
    expect((await app.admin.post('/usage', event)).body).toMatchObject({ accepted: 1 });
    const found = await app.admin.get(`/api-keys/${key.id}/usage/events?request_id=reported%20once`);
    const secretId = secrets.find((secret) => secret.retires_at !== null)!.id;
    const invite = async (place: string, role: string) =>
      (await app.admin.post(`${place}/invitations`, { username: 'invited', role })).body['invitation']
        .id as number;
    const invitationIds = [
      await invite('/organizations/1', 'org_member'),
      await invite('/projects/1', 'project_viewer'),
    ] as const;
    const account = await app.admin.post('/projects/1/service-accounts', { name: 'target' });
    const serviceAccountId = account.body['id'] as number;
    return {
      user,
      key,
      secretId,
      eventId: found.body['usage_events'][0].id,
      invitationIds,
      serviceAccountId,
    };
  }

  async function asking(by: 'session' | 'key'): Promise<Asking> {
    const user = await app.user({ permissions: ['platform:*'] });
    const above = await app.apiKey(user.client, { scopes: ['platform:*'] });
    const key = await app.apiKey(app.anonymous.withApiKey(above.secret), { scopes: ['platform:*'] });
    return {
      user,
      key,
      above,
      client: by === 'session' ? user.client : app.anonymous.withApiKey(key.secret),
    };
  }

  /** Of things that are there: a route must not end before it has waited. */
  const pathOf = ({ url }: DeclaredRoute): string => {
    const { user, key, secretId, eventId, invitationIds, serviceAccountId } = target;
    const id = url.startsWith('/api/v1/users') ? user.id : url.startsWith('/api/v1/usage') ? eventId : key.id;
    return withId(url, id)
      .replace('/api/v1', '')
      .replace(':secret_id', secretId)
      .replace(':invitation_id', String(invitationIds[url.includes('/projects/') ? 1 : 0]))
      .replace(':service_account_id', String(serviceAccountId))
      .replace(':user_id', String(user.id));
  };

  /** Holds all of `routes` where they wait longest, takes the authority away, and lets them go on. */
  async function outcomes(by: 'session' | 'key', sql: string, held: readonly DeclaredRoute[]) {
    const { user, key, above, client } = await asking(by);
    const tables = await LockedTables.lock(app.database, HELD);
    const answers: ApiAnswer[] = [];
    const answering = held.map(async (route) => {
      const body = BODIES[route.action ?? ''] ?? validBody(route.method, route.action ?? '');
      answers.push(await client.send(route.method, pathOf(route), { body }));
      return { action: route.action, answer: answers.at(-1)! };
    });
    await tables.untilAwaited(held.length, () => answers.length > 0);
    expect(answers.filter(({ status }) => status !== 503)).toEqual([]);
    const ids = { $USER: user.id, $KEY: key.id, $ABOVE: above.id };
    await tables.query(sql.replaceAll(/\$[A-Z]+/g, (name) => String(ids[name as keyof typeof ids])));
    const before = await databaseContents(tables, TRACES);
    await tables.release();
    const answered = await Promise.all(answering);
    expect(await databaseContents(app.database, TRACES)).toEqual(before);
    return answered;
  }

  async function expectAllRefused(
    by: 'session' | 'key',
    [sql, status]: Takings[string],
    held: readonly DeclaredRoute[],
  ) {
    let results = await outcomes(by, sql, held);
    const isTooSlow = () => results.some(({ answer }) => answer.status === 503);
    for (let tries = 1; tries < MOST_TRIES && isTooSlow(); tries += 1)
      results = await outcomes(by, sql, held);
    const statuses = results.map(({ action, answer }) => [action, answer.status]);
    expect(statuses).toEqual(held.map(({ action }) => [action, status]));
    for (const { answer } of results) {
      const rows = await auditRowsOf(app.database, answer);
      expect(rows.filter(({ success }) => success)).toEqual([]);
    }
  }

  it('for every route that makes changes', () => {
    expect(routes.length).toBeGreaterThan(10);
  });

  it.each(Object.entries(TAKEN_FROM_SESSION))(
    'every change is refused, and changes nothing, when its caller %s while it waits',
    async (_what, taking) => {
      // A logout needs no permission.
      const held = routes.filter(({ action }) => action !== 'logout' || taking[1] === 401);
      await expectAllRefused('session', taking, held);
    },
  );

  it.each(Object.entries(TAKEN_FROM_KEY))(
    'every change is refused, and changes nothing, when the API key that asks for it %s while it waits',
    async (_what, taking) => {
      const held = routes.filter(({ action }) => action !== 'logout');
      await expectAllRefused('key', taking, held);
    },
  );

  it('a refresh is refused, and changes nothing, when its session ends while it waits', async () => {
    for (let tries = 1; ; tries += 1) {
      const { id, username } = await app.user();
      const { refreshToken } = await openSession(app, username);
      const tables = await LockedTables.lock(app.database, ['sessions']);
      let isAnswered = false;
      const answering = app.anonymous
        .post('/auth/refresh', { refresh_token: refreshToken })
        .finally(() => (isAnswered = true));
      await tables.untilAwaited(1, () => isAnswered);
      await tables.query('UPDATE sessions SET ended_at = now() WHERE user_id = $1', [id]);
      const before = await databaseContents(tables, TRACES);
      await tables.release();
      const answer = await answering;
      if (answer.status === 503 && tries < MOST_TRIES) continue;
      expect([answer.status, answer.body['code']]).toEqual([401, 'auth.refresh_token_invalid']);
      expect(await databaseContents(app.database, TRACES)).toEqual(before);
      return;
    }
  });

  it.each(['KEY', 'ABOVE'])(
    'a key gives others no more than it may itself by the time that it commits, when %s is restricted meanwhile',
    async (restricted) => {
      for (let tries = 1; ; tries += 1) {
        const { key, above, client } = await asking('key');
        const stranger = await app.apiKey(app.admin, { allowed_models: ['a'] });
        // The change has been decided and written by the time that it waits for its audit row.
        const tables = await LockedTables.lock(app.database, ['audit_logs']);
        let isAnswered = false;
        const answering = client
          .put(`/api-keys/${stranger.id}`, { allowed_models: ['a', 'b'] })
          .finally(() => (isAnswered = true));
        await tables.untilAwaited(1, () => isAnswered);
        await tables.query(
          `UPDATE api_keys SET allowed_models = '{a}', version = version + 1 WHERE id = $1`,
          [restricted === 'KEY' ? key.id : above.id],
        );
        await tables.release();
        const answer = await answering;
        if (answer.status === 503 && tries < MOST_TRIES) continue;
        expect([answer.status, answer.body['code']]).toEqual([403, 'permission.denied']);
        const [row] = await app.database.query('SELECT allowed_models FROM api_keys WHERE id = $1', [
          stranger.id,
        ]);
        expect(row).toEqual({ allowed_models: ['a'] });
        return;
      }
    },
  );
});
