import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import pg from 'pg';
import { matchesStatement, NEWEST_FIRST, rowsStatement } from '../../src/api-keys/api-key-list.js';
import { DELETE_SECRETS_OF_API_KEY } from '../../src/api-keys/api-key-secrets.queries.js';
import { END_API_KEYS_OF_USER } from '../../src/api-keys/api-keys.queries.js';
import { pageStatement } from '../../src/audit/audit-log.query.js';
import { eventsStatement } from '../../src/usage/usage-events.queries.js';
import { bucketsStatement } from '../../src/usage/usage-series.queries.js';
import { recentUsageStatement } from '../../src/usage/usage-statistics.queries.js';
import { sumsStatement } from '../../src/usage/usage-summary.queries.js';
import { seedManyKeys } from '../support/many-keys.js';
import { TestApp, type TestUser } from '../support/test-app.js';
import { usageEvent } from '../support/usage-events.js';

const LONG = process.env['LATCHKEY_LONG'] === '1';
/** Of one owner, of everybody else, and hours of usage of each of them. */
const [OWNED, OTHERS, ROLLUPS_PER_KEY] = LONG ? [50_000, 150_000, 2] : [6_000, 14_000, 2];
const EVENTS = 3_000;
const AUDIT_ROWS = LONG ? 200_000 : 20_000;

describe('what one caller does with very much does not hold others up:', { timeout: 240_000 }, () => {
  let app: TestApp;
  let owner: TestUser;
  let bystander: TestUser;
  let heavy: TestUser;
  let others: TestUser;
  let usedKeyId: number;
  beforeAll(async () => {
    app = await TestApp.start();
    [owner, bystander, heavy] = [
      await app.user(),
      await app.user({ role: 'admin' }),
      await app.user({ role: 'admin' }),
    ];
    others = await app.user();
    await seedManyKeys(app.database, {
      keys: { [owner.id]: OWNED, [others.id]: OTHERS },
      rollupsPerKey: ROLLUPS_PER_KEY,
      auditRows: AUDIT_ROWS,
    });
    usedKeyId = (await app.apiKey()).id;
    const events = Array.from({ length: 1_000 }, () => usageEvent(usedKeyId));
    for (let part = 0; part < EVENTS / 1_000; part += 1) {
      const named = events.map((event, index) => ({ ...event, request_id: `${part}-${index}` }));
      await app.admin.post('/usage', named);
    }
    await app.database.query('ANALYZE');
  }, 240_000);
  afterAll(() => app.stop());

  /** What a bystander gets, again and again, as long as `work` takes. */
  async function beside(work: Promise<unknown>): Promise<number[]> {
    let isOver = false;
    const statuses = new Set<number>();
    const end = work.finally(() => (isOver = true));
    const { username } = bystander;
    const login = { username, password: 'a long user passphrase' };
    while (!isOver) {
      const answers = await Promise.all([
        bystander.client.get('/auth/me'),
        app.anonymous.post('/auth/login', login),
        bystander.client.put(`/users/${bystander.id}`, { permissions: [] }),
        bystander.client.get('/audit-logs?limit=1'),
      ]);
      for (const { status } of answers) statuses.add(status);
    }
    await end;
    return [...statuses];
  }

  it('an export of the whole audit log', async () => {
    const exported = heavy.client.get('/audit-logs?action=exported', { accept: 'application/x-ndjson' });
    expect(await beside(exported)).toEqual([200]);
    expect((await exported).text.split('\n')).toHaveLength(AUDIT_ROWS + 1);
  });

  it('twenty sums of all usage at once', async () => {
    const sums = Promise.all(Array.from({ length: 20 }, () => heavy.client.get('/usage/summary')));
    expect(await beside(sums)).toEqual([200]);
    for (const { status } of await sums) expect([200, 429]).toContain(status);
  });

  it('the end of a user with very many keys', async () => {
    const deleted = heavy.client.delete(`/users/${owner.id}`);
    expect(await beside(deleted)).toEqual([200]);
    expect((await deleted).status).toBe(200);
    const [left] = await app.database.query<{ keys: number; rows: number }>(
      `SELECT (SELECT count(*)::int FROM api_keys WHERE user_id = $1 AND deleted_at IS NULL) AS keys,
         (SELECT count(*)::int FROM audit_logs WHERE action = 'delete_api_key') AS rows`,
      [owner.id],
    );
    expect(left).toEqual({ keys: 0, rows: OWNED });
  });

  const MOST = { maxRows: 50, maxBytes: 1_000_000 };
  const from = new Date(Date.now() - 86_400_000 * 30);
  const now = new Date();
  const span = { from, to: now };
  const first = { offset: 0 };
  const after = { after: { id: 500, value: null, total: 1, isTotalExact: true } };
  const byHour = { interval: 'hour', byModel: true } as const;
  /** Where reading tables as small as these whole is cheaper: it is asked for what there is beside it. */
  const IN_LARGER_TABLES = 'SET LOCAL enable_seqscan = off';
  it.each<[string, () => { readonly text: string; readonly values?: unknown[] }, setting?: string]>([
    ['the usage of a user without keys', () => sumsStatement(span, { userId: bystander.id })],
    ['the keys of a user who ends', () => ({ ...END_API_KEYS_OF_USER, values: [others.id, now, 2_000, 0] })],
    ['the secrets of a key that ends or gets another', () => ({ ...DELETE_SECRETS_OF_API_KEY, values: [1] })],
    ['a page of the audit log', () => pageStatement({ action: 'exported' }, 'newest_first', undefined, MOST)],
    ['the rows of one actor', () => pageStatement({ userId: bystander.id }, 'newest_first', undefined, MOST)],
    ['what a collector has not read', () => pageStatement({}, 'committed', undefined, MOST)],
    ['the newest keys', () => rowsStatement({}, NEWEST_FIRST, 11, first)],
    [
      'the newest keys that are switched on',
      () => rowsStatement({ isActive: true }, NEWEST_FIRST, 11, first),
    ],
    ['the keys of a user', () => rowsStatement({ userId: others.id }, NEWEST_FIRST, 11, first)],
    ['the keys of a user who has none', () => rowsStatement({ userId: heavy.id }, NEWEST_FIRST, 11, first)],
    ['the keys after a cursor', () => rowsStatement({}, NEWEST_FIRST, 11, after)],
    ['the keys that expire first', () => rowsStatement({}, 'expires_at', 11, first)],
    ['the keys that expire soon', () => matchesStatement({ expiresBefore: now }, 11, 0)],
    ['the expired keys', () => matchesStatement({ state: 'expired', now }, 11, 0)],
    ['the keys with a tag', () => matchesStatement({ tag: 'rare' }, 11, 0)],
    ['a search', () => matchesStatement({ search: 'key 13999' }, 11, 0), IN_LARGER_TABLES],
    ['a series of a key', () => bucketsStatement(usedKeyId, byHour, span)],
    ['the usage of a key today', () => recentUsageStatement(usedKeyId, now.getTime())],
    ['the events of a request id', () => eventsStatement(usedKeyId, '1-7'), IN_LARGER_TABLES],
  ])(
    'the plan for %s reads no table from its beginning to its end',
    async (_what, statementOf, setting = '') => {
      const client = new pg.Client({ connectionString: app.database.url });
      await client.connect();
      const { text, values = [] } = statementOf();
      await client.query(`BEGIN; ${setting}`);
      await client.query({ text, values });
      // Its triggers count too. What is next to empty is read whole: the row of the numbering, the partitions of other months.
      const { rows } = await client.query(
        `SELECT tables.relname FROM pg_stat_xact_user_tables AS tables JOIN pg_class ON pg_class.oid = tables.relid
       WHERE seq_scan > 0 AND reltuples > 1000`,
      );
      await client.query('ROLLBACK');
      await client.end();
      expect(rows).toEqual([]);
    },
  );
});
