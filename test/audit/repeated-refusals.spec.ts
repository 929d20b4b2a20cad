import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { AccessRefusals } from '../../src/auth/access-refusals.service.js';
import type { ApiAnswer, ApiClient } from '../support/api-client.js';
import { UTC_TIMESTAMP } from '../support/api-keys.js';
import { createTestDatabase, type TestDatabase } from '../support/database.js';
import { TestApp } from '../support/test-app.js';

/** Refusals with a row each, and what is sent in a loop. */
const [ROWS, FLOOD] = [10, 40];

interface RefusalRow extends Record<string, unknown> {
  readonly resource_id: string | null;
  readonly request_id: string | null;
  readonly ip_address: string | null;
  readonly details: { reason?: string; count?: number; since?: string };
}

describe('requests that are refused (403) by the hundred', () => {
  let database: TestDatabase;
  let app: TestApp;
  let keyId: number;
  beforeAll(async () => {
    database = await createTestDatabase();
    app = await TestApp.start({ database, environment: { TRUSTED_PROXIES: '127.0.0.1' } });
    keyId = (await app.apiKey()).id;
  });
  afterAll(async () => {
    await app.stop();
    await database.drop();
  });

  const rowsOf = (userId: number, action: string) =>
    database.query<RefusalRow>(
      `SELECT resource_id, request_id, ip_address, user_agent, details FROM audit_logs
       WHERE user_id = $1 AND action = $2 AND NOT success ORDER BY created_at, id`,
      [userId, action],
    );

  async function refused(times: number, send: (index: number) => Promise<ApiAnswer>): Promise<ApiAnswer[]> {
    const answers: ApiAnswer[] = [];
    for (let index = 0; index < times; index += 1) answers.push(await send(index));
    expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([403]));
    return answers;
  }

  const flush = () => app.app.get(AccessRefusals).flush();

  it.each<[string, string, (client: ApiClient) => Promise<ApiAnswer>]>([
    ['a route', 'list_users', (client) => client.get('/users')],
    ['the data plane', 'verify_api_key', (client) => client.post('/api-keys/verify', { key: 'en_unknown' })],
    ['a change', 'create_user', (client) => client.post('/users', {})],
    ['somebody else’s key', 'get_api_key', (client) => client.get(`/api-keys/${keyId}`)],
  ])(
    'by %s have a row for each of the first and one a minute with the number of the others',
    async (_where, action, send) => {
      const { id, client } = await app.user();
      const answers = await refused(FLOOD, () => send(client));
      const details = { reason: answers[0]!.body['detail'] as string };
      const rows = answers
        .slice(0, ROWS)
        .map(({ headers }) => ({ request_id: headers.get('x-request-id'), details }));
      expect(await rowsOf(id, action)).toMatchObject(rows);
      await flush();
      const since = expect.stringMatching(UTC_TIMESTAMP) as string;
      // Which requests they were, and of what, differs: the row says what they have in common.
      const counted = { count: FLOOD - ROWS, since };
      expect((await rowsOf(id, action)).slice(ROWS)).toMatchObject([
        { resource_id: null, request_id: null, ip_address: '127.0.0.1', details: counted },
      ]);
      expect((await rowsOf(id, action)).at(-1)?.details).not.toHaveProperty('reason');
      // No more rows for as long as it goes on.
      await refused(3, () => send(client));
      expect(await rowsOf(id, action)).toHaveLength(ROWS + 1);
      await flush();
      await flush();
      expect(await rowsOf(id, action)).toHaveLength(ROWS + 2);
      const [later] = await refused(1, () => send(client));
      expect((await rowsOf(id, action)).at(-1)).toMatchObject({
        request_id: later!.headers.get('x-request-id'),
      });
    },
  );

  it('name the address that each came from, and no browser that was another one’s', async () => {
    const { id, client } = await app.user();
    const from = (address: string, agent: string) =>
      client.get('/users', { 'x-forwarded-for': address, 'user-agent': agent });
    await refused(ROWS, () => from('192.0.2.1', 'office'));
    await refused(2, () => from('192.0.2.1', 'office'));
    await refused(ROWS + 3, (index) => from('192.0.2.9', `burglar ${index % 2}`));
    await flush();
    const counts = (await rowsOf(id, 'list_users')).filter(({ details }) => details.count !== undefined);
    // Written in one go, so in either order.
    expect(counts.toSorted((a, b) => a.details.count! - b.details.count!)).toMatchObject([
      { ip_address: '192.0.2.1', user_agent: 'office', details: { count: 2 } },
      { ip_address: '192.0.2.9', user_agent: null, details: { count: 3 } },
    ]);
  });

  it('by one caller in very many ways take no row from another', async () => {
    const [one, other] = [await app.user(), await app.user()];
    // Each address is counted by itself: more of them than one caller may have, and than there is room for in all.
    for (let from = 0; from < 150; from += 1)
      await refused(1, () => one.client.get('/users', { 'x-forwarded-for': `192.0.3.${from}` }));
    await refused(ROWS, () => other.client.get('/users'));
    expect(await rowsOf(other.id, 'list_users')).toHaveLength(ROWS);
    expect(await rowsOf(one.id, 'list_users')).toHaveLength(100);
    await flush();
    const [last] = (await rowsOf(one.id, 'list_users')).slice(100);
    expect(last).toMatchObject({ ip_address: null, details: { count: 50 } });
  });

  it('hide no refusal of another caller, another credential or another operation', async () => {
    const [one, other] = [await app.user({ permissions: ['platform:*'] }), await app.user()];
    const key = app.anonymous.withApiKey((await app.apiKey(one.client)).secret);
    await app.admin.put(`/users/${one.id}`, { permissions: [] });
    const asked: [ApiClient, string][] = [
      [one.client, '/users'],
      [key, '/users'],
      [other.client, '/users'],
      [one.client, '/audit-logs'],
    ];
    for (const [client, path] of asked) {
      const [answer] = await refused(1, () => client.get(path));
      const rows = await database.query('SELECT FROM audit_logs WHERE request_id = $1 AND NOT success', [
        answer!.headers.get('x-request-id'),
      ]);
      expect(rows).toHaveLength(1);
    }
  });

  it('are all counted when the service stops', async () => {
    const { id, client } = await app.user();
    await refused(ROWS + 6, () => client.get('/users'));
    await app.stop();
    const counts = (await rowsOf(id, 'list_users')).map(({ details }) => details.count ?? 1);
    app = await TestApp.start({ database });
    expect(counts.reduce((sum, count) => sum + count, 0)).toBe(ROWS + 6);
    expect(counts).toHaveLength(ROWS + 1);
  });
});
