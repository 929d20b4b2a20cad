import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { DELETE_SECRETS_OF_API_KEY } from '../../src/api-keys/api-key-secrets.js';
import { END_API_KEYS_OF_USER } from '../../src/api-keys/api-keys.store.js';
import { pageStatement } from '../../src/audit/audit-log.query.js';
import { sumsStatement } from '../../src/usage/usage-summary.js';
import { TestApp, type TestUser } from '../support/test-app.js';

const LONG = process.env['LATCHKEY_LONG'] === '1';
/** Of one owner, of everybody else, and hours of usage of each of them. */
const [OWNED, OTHERS, ROLLUPS_PER_KEY] = LONG ? [50_000, 150_000, 2] : [6_000, 14_000, 2];
const AUDIT_ROWS = LONG ? 200_000 : 20_000;

describe('what one caller does with very much does not hold others up:', { timeout: 240_000 }, () => {
  let app: TestApp;
  let owner: TestUser;
  let bystander: TestUser;
  let heavy: TestUser;
  beforeAll(async () => {
    app = await TestApp.start();
    [owner, bystander, heavy] = [
      await app.user(),
      await app.user({ role: 'admin' }),
      await app.user({ role: 'admin' }),
    ];
    const others = await app.user();
    await app.database.query(
      `INSERT INTO api_keys (user_id, name, key_prefix)
       SELECT CASE WHEN n % ${OWNED + OTHERS} < ${OWNED} THEN ${owner.id} ELSE ${others.id} END, 'Key ' || n, 'en_heavy'
       FROM generate_series(0, ${OWNED + OTHERS - 1}) AS n;
       INSERT INTO api_key_secrets (digest, pepper_version, api_key_id)
       SELECT sha256(id::text::bytea), 1, id FROM api_keys WHERE key_prefix = 'en_heavy';
       INSERT INTO usage_hourly_rollups (api_key_id, hour, model, requests, request_tokens, response_tokens, cost_micro_cents)
       SELECT id, date_trunc('hour', now(), 'UTC') - n * interval '1 hour', 'm', 1, 1, 1, 1
       FROM api_keys, generate_series(1, ${ROLLUPS_PER_KEY}) AS n WHERE key_prefix = 'en_heavy';
       INSERT INTO audit_logs (id, created_at, action, resource_type, details, success)
       SELECT gen_random_uuid(), now() - n * interval '1 second', 'exported', 'test', jsonb_build_object('text', repeat('x', 500)), true
       FROM generate_series(1, ${AUDIT_ROWS}) AS n;
       ANALYZE api_keys, api_key_secrets, usage_hourly_rollups, audit_logs`,
    );
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

  const from = new Date(Date.now() - 86_400_000 * 30);
  it.each([
    ['the usage of a user without keys', () => sumsStatement({ from, to: new Date() }, bystander.id)],
    [
      'the keys of a user who ends',
      () => ({ ...END_API_KEYS_OF_USER, values: [bystander.id, new Date(), 100, 0] }),
    ],
    ['the secrets of a key that ends or gets another', () => ({ ...DELETE_SECRETS_OF_API_KEY, values: [1] })],
    ['a page of the audit log', () => pageStatement({ action: 'exported' }, 'newest_first', undefined, 50)],
    ['the rows of one actor', () => pageStatement({ userId: bystander.id }, 'newest_first', undefined, 50)],
    ['what a collector has not read', () => pageStatement({}, 'committed', undefined, 50)],
  ])('the plan for %s reads no table from its beginning to its end', async (_what, statementOf) => {
    const { text, values } = statementOf();
    const plan = await app.database.query<{ 'QUERY PLAN': string }>(`EXPLAIN ${text}`, values);
    const lines = plan.map((line) => line['QUERY PLAN']).join('\n');
    // What is next to empty is read whole: the row of the numbering, the partitions of other months.
    const large = await app.database.query<{ name: string }>(
      `SELECT relname AS name FROM pg_class WHERE relkind = 'r' AND reltuples > 1000`,
    );
    const scanned = [...lines.matchAll(/Seq Scan on (\w+)/g)].map(([, name]) => name);
    expect(large.map(({ name }) => name).filter((name) => scanned.includes(name))).toEqual([]);
  });
});
