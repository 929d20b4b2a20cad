import type { IncomingMessage } from 'node:http';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { ApiAnswer, ApiClient } from '../support/api-client.js';
import { LockedTables } from '../support/locked-tables.js';
import { TestApp, type TestApiKey, type TestUser } from '../support/test-app.js';
import { usageEvent } from '../support/usage-events.js';

/** Statements that one queue of the data plane has under way at most. */
const STATEMENTS = 2;
/** A statement that waits too long for a lock answers 503: the test was too slow then and has to try again. */
const MOST_TRIES = 5;

/** Who asks, what is asked of, and holds that the caller has taken. */
interface Asking {
  readonly user: TestUser;
  readonly credential: TestApiKey;
  readonly client: ApiClient;
  readonly target: TestApiKey;
  readonly holds: { readonly settled: string; readonly released: string; readonly extended: string };
}

type Ask = (asking: Asking) => Promise<ApiAnswer>;

/** Every change of the data plane. */
const CHANGES: Readonly<Record<string, Ask>> = {
  report_usage: ({ client, target }) => client.post('/usage', usageEvent(target.id)),
  create_budget_hold: ({ client, target }) =>
    client.post('/budget-holds', { api_key_id: target.id, amount_cents: 1, ttl_seconds: 600 }),
  verify_api_key: ({ client, target }) =>
    client.post('/api-keys/verify', { key: target.secret, hold_cents: 1, hold_ttl_seconds: 600 }),
  verify_api_keys: ({ client, target }) =>
    client.post('/api-keys/verify/batch', {
      requests: [{ key: target.secret, hold_cents: 1, hold_ttl_seconds: 600 }],
    }),
  settle_budget_hold: ({ client, holds }) =>
    client.post(`/budget-holds/${holds.settled}/settle`, { cost_cents: 1 }),
  release_budget_hold: ({ client, holds }) => client.post(`/budget-holds/${holds.released}/release`),
  extend_budget_hold: ({ client, holds }) =>
    client.post(`/budget-holds/${holds.extended}/extend`, { ttl_seconds: 3_600 }),
};

/** How authority ends while the changes wait, and what they are answered then. */
const TAKINGS: Readonly<
  Record<
    string,
    readonly [
      by: 'session' | 'key',
      take: (app: TestApp, asking: Asking) => Promise<ApiAnswer>,
      status: number,
    ]
  >
> = {
  'logs out': ['session', (_app, { user }) => user.client.post('/auth/logout'), 401],
  'is disabled': [
    'session',
    (app, { user }) => app.admin.put(`/users/${user.id}`, { is_active: false }),
    401,
  ],
  'may only ask for verdicts any more': [
    'session',
    (app, { user }) => app.admin.put(`/users/${user.id}`, { permissions: ['platform:api-keys:verify'] }),
    403,
  ],
  'is an API key that is deactivated': [
    'key',
    (app, { credential }) => app.admin.post(`/api-keys/${credential.id}/deactivate`),
    401,
  ],
  'is an API key that loses its scopes': [
    'key',
    (app, { credential }) => app.admin.put(`/api-keys/${credential.id}`, { scopes: [] }),
    403,
  ],
};

describe('authority counts when a change of the data plane is sent to the database', () => {
  let app: TestApp;
  beforeAll(async () => {
    app = await TestApp.start();
  });
  afterAll(() => app.stop());

  async function asking(by: 'session' | 'key'): Promise<Asking> {
    const user = await app.user({ permissions: ['platform:*'] });
    const credential = await app.apiKey(user.client, { scopes: ['platform:*'] });
    const client = by === 'session' ? user.client : app.anonymous.withApiKey(credential.secret);
    const target = await app.apiKey();
    const take = async () => {
      const body = { api_key_id: target.id, amount_cents: 1, ttl_seconds: 600 };
      return String((await client.post('/budget-holds', body)).body['id']);
    };
    const holds = { settled: await take(), released: await take(), extended: await take() };
    return { user, credential, client, target, holds };
  }

  /** Sends a request, and goes on when its handler has run as far as it can without waiting. */
  async function arrived(send: () => Promise<ApiAnswer>): Promise<{ answering: Promise<ApiAnswer> }> {
    const server = app.app.getHttpServer();
    const isRead = new Promise((resolve) => {
      server.once('request', (request: IncomingMessage) => {
        // What has no body is not read to its end.
        if (Number(request.headers['content-length'] ?? 0) === 0) resolve(undefined);
        else request.once('end', resolve);
      });
    });
    const answering = send();
    await isRead;
    for (let turn = 0; turn < 3; turn += 1) await nextTurn();
    return { answering };
  }

  async function written({ target }: Asking): Promise<unknown> {
    return Promise.all([
      app.database.query('SELECT to_jsonb(h) FROM budget_holds AS h WHERE api_key_id = $1 ORDER BY id', [
        target.id,
      ]),
      app.database.query('SELECT id FROM usage_events WHERE api_key_id = $1 ORDER BY id', [target.id]),
    ]);
  }

  /** Fills the queues, lets all changes wait in them, and lets `meanwhile` happen; undefined when it took too long. */
  async function outcomes(
    asked: Asking,
    meanwhile: () => Promise<ApiAnswer>,
  ): Promise<[string, number][] | undefined> {
    const others = await asking('session');
    const tables = await LockedTables.lock(app.database, ['budget_accounts']);
    const before: Promise<ApiAnswer>[] = [];
    for (const name of ['report_usage', 'create_budget_hold', 'release_budget_hold', 'extend_budget_hold'])
      for (let statement = 0; statement < STATEMENTS; statement += 1)
        before.push((await arrived(() => CHANGES[name]!(others))).answering);
    const waiting: [string, Promise<ApiAnswer>][] = [];
    for (const [name, ask] of Object.entries(CHANGES))
      waiting.push([name, (await arrived(() => ask(asked))).answering]);
    const taken = await meanwhile();
    await tables.release();
    const first = await Promise.all(before);
    const answers = await Promise.all(
      waiting.map(async ([name, answering]): Promise<[string, number]> => [name, (await answering).status]),
    );
    const isTooSlow = [taken.status, ...first.map(({ status }) => status)].includes(503);
    return isTooSlow ? undefined : answers;
  }

  async function eventually(
    by: 'session' | 'key',
    meanwhile: (asked: Asking) => Promise<ApiAnswer>,
  ): Promise<{ answers: [string, number][]; before: unknown; after: unknown }> {
    for (let tries = 1; ; tries += 1) {
      const asked = await asking(by);
      const before = await written(asked);
      const answers = await outcomes(asked, () => meanwhile(asked));
      if (answers !== undefined) return { answers, before, after: await written(asked) };
      if (tries === MOST_TRIES) throw new Error('The changes did not wait long enough.');
    }
  }

  it.each(Object.entries(TAKINGS))(
    'every change that waits for its turn is refused, and changes nothing, when its caller %s',
    async (_what, [by, take, status]) => {
      const { answers, before, after } = await eventually(by, (asked) => take(app, asked));
      expect(answers).toEqual(Object.keys(CHANGES).map((name) => [name, status]));
      expect(after).toEqual(before);
    },
  );

  it.each(['session', 'key'] as const)(
    'and is made when only others are changed meanwhile, by a %s',
    async (by) => {
      const { answers } = await eventually(by, async () => {
        const other = await app.user();
        return app.admin.put(`/users/${other.id}`, { is_active: false });
      });
      expect(answers).toEqual(
        Object.keys(CHANGES).map((name) => [name, name === 'create_budget_hold' ? 201 : 200]),
      );
    },
  );
});
