import pg from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Maintenance } from '../../src/database/maintenance.js';
import { expireRequestIds, ONLY_BY_INDEX } from '../../src/usage/usage-upkeep.js';
import { TestApp } from '../support/test-app.js';
import { usageEvent } from '../support/usage-events.js';

const DAY_MS = 86_400_000;
const RETENTION_DAYS = 45;

describe('upkeep of usage', () => {
  let app: TestApp;
  let maintenance: Maintenance;
  beforeAll(async () => {
    app = await TestApp.start({ environment: { USAGE_RETENTION_DAYS: String(RETENTION_DAYS) } });
    maintenance = app.app.get(Maintenance);
  });
  afterAll(() => app.stop());

  const partitions = async (): Promise<string[]> => {
    const rows = await app.database.query<{ relname: string }>(
      `SELECT relname FROM pg_class JOIN pg_inherits ON inhrelid = pg_class.oid
       WHERE inhparent = 'usage_events'::regclass ORDER BY relname`,
    );
    return rows.map(({ relname }) => relname);
  };
  /** Days of UTC from today on; negative ones are past. */
  const partitionOf = (day: number) =>
    `usage_events_${new Date(Date.now() + day * DAY_MS).toISOString().slice(0, 10).replaceAll('-', '_')}`;
  const makePartition = (day: number) =>
    app.database.query(
      `SELECT ensure_usage_event_partitions((now() AT TIME ZONE 'UTC')::date + $1::int, 1)`,
      [day],
    );
  const countOf = async (table: string, apiKeyId: number): Promise<number> => {
    const [row] = await app.database.query<{ count: number }>(
      `SELECT count(*)::int AS count FROM ${table} WHERE api_key_id = $1`,
      [apiKeyId],
    );
    return row?.count ?? 0;
  };

  it('makes the partitions of the coming days, and of the days that late events may fall on', async () => {
    for (const day of [-31, -30, 0, 1, 2, 8]) {
      await app.database.query(`DROP TABLE IF EXISTS ${partitionOf(day)}`);
    }
    await maintenance.runNow('make-usage-partitions');
    const made = await partitions();
    expect(made).toEqual([
      ...Array.from({ length: 31 + 1 + 8 }, (_value, index) => partitionOf(index - 31)),
      'usage_events_other_days',
    ]);
    await maintenance.runNow('make-usage-partitions');
    expect(await partitions()).toEqual(made);
  });

  it('stores events of the whole time in which they may have occurred', async () => {
    const key = await app.apiKey();
    const events = [-30 * DAY_MS + 60_000, -1, 4 * 60_000].map((offset) =>
      usageEvent(key.id, { occurred_at: new Date(app.clock.now().getTime() + offset).toISOString() }),
    );
    expect((await app.admin.post('/usage', events)).body).toMatchObject({ accepted: 3, rejected: [] });
  });

  it('drops single events after USAGE_RETENTION_DAYS and not before; rollups and totals stay', async () => {
    const key = await app.apiKey();
    // A day goes two hours late.
    const days = [-RETENTION_DAYS - 3, -RETENTION_DAYS - 2, -RETENTION_DAYS, -RETENTION_DAYS + 1];
    for (const day of days) await makePartition(day);
    for (const day of [...days, -1]) {
      await app.database.query(
        `WITH stored AS (
           INSERT INTO usage_events (api_key_id, request_id, endpoint, method, request_tokens, response_tokens,
             cost_micro_cents, occurred_at, received_at) VALUES ($1, $3, '/', 'POST', 1, 1, 1, $2, $2))
         INSERT INTO usage_hourly_rollups (api_key_id, hour, requests, request_tokens, response_tokens, cost_micro_cents)
         VALUES ($1, date_trunc('hour', $2::timestamptz, 'UTC'), 1, 1, 1, 1)`,
        [key.id, new Date(Date.now() + day * DAY_MS).toISOString(), `of day ${day}`],
      );
    }
    await app.database.query(
      `INSERT INTO api_key_totals (api_key_id, requests, tokens, cost_micro_cents) VALUES ($1, 5, 10, 5)`,
      [key.id],
    );
    await maintenance.runNow('drop-usage-partitions');
    expect((await partitions()).filter((name) => name < partitionOf(-31))).toEqual([
      partitionOf(-RETENTION_DAYS),
      partitionOf(-RETENTION_DAYS + 1),
    ]);
    expect(await countOf('usage_events', key.id)).toBe(3);
    expect(await countOf('usage_hourly_rollups', key.id)).toBe(5);
    expect((await app.admin.get(`/api-keys/${key.id}/usage`)).body).toMatchObject({ total_requests: 5 });
    const from = new Date(Date.now() - 50 * DAY_MS).toISOString();
    const series = await app.admin.get(`/api-keys/${key.id}/usage/series?interval=month&from=${from}`);
    const buckets = series.body['series'][0].buckets as { requests: number }[];
    expect(buckets.reduce((sum, { requests }) => sum + requests, 0)).toBe(5);
  });

  it('remembers request ids for 30 days at least, and forgets them after 31', async () => {
    const key = await app.apiKey();
    const events = [0, 30, 31].map(() => usageEvent(key.id));
    await app.admin.post('/usage', events);
    const age = (index: number, interval: string) =>
      app.database.query(
        `UPDATE usage_request_ids SET received_at = now() - $3::interval WHERE api_key_id = $1 AND request_id = $2`,
        [key.id, events[index]?.['request_id'], interval],
      );
    await age(1, '30 days 23 hours');
    await age(2, '31 days 1 second');
    await maintenance.runNow('expire-usage-request-ids');
    expect(await countOf('usage_request_ids', key.id)).toBe(2);
    expect((await app.admin.post('/usage', events)).body).toEqual({
      accepted: 1,
      duplicates: 2,
      conflicts: [],
      rejected: [],
    });
  });

  it('forgets in one run all that is old, however much has gathered', async () => {
    const key = await app.apiKey();
    await app.database.query(
      `INSERT INTO usage_request_ids (api_key_id, request_id, received_at)
       SELECT $1, 'old ' || n, now() - interval '32 days' FROM generate_series(1, 45000) AS n`,
      [key.id],
    );
    await maintenance.runNow('expire-usage-request-ids');
    expect(await countOf('usage_request_ids', key.id)).toBe(0);
  });

  it('finds old request ids by the index of their receipt alone, and takes them away by their place', async () => {
    const key = await app.apiKey();
    await app.database.query(
      `INSERT INTO usage_request_ids (api_key_id, request_id, received_at)
       SELECT $1, 'batch ' || n, now() - interval '40 days' + n * interval '1 minute' FROM generate_series(1, 20000) AS n`,
      [key.id],
    );
    const client = new pg.Client({ connectionString: app.database.url });
    client.on('error', () => undefined);
    await client.connect();
    const found = await client.query<{ name: string }>(
      `SELECT inhrelid::regclass::text AS name FROM pg_inherits WHERE inhparent = 'usage_request_ids'::regclass`,
    );
    expect(found.rows).toHaveLength(8);
    for (const { name } of found.rows) {
      await client.query(`ANALYZE ${name}; BEGIN; ${ONLY_BY_INDEX}`);
      const { rows } = await client.query<{ 'QUERY PLAN': string }>(`EXPLAIN ${expireRequestIds(name)}`, [
        '-infinity',
        100,
      ]);
      await client.query('ROLLBACK');
      const plan = rows.map((row) => row['QUERY PLAN']).join('\n');
      expect(plan.match(/\w+ Scan (?:using \w+ )?on \w+/g)?.toSorted()).toEqual([
        'CTE Scan on removed',
        `Index Scan using ${name}_received_at on ${name}`,
        `Tid Scan on ${name}`,
      ]);
      expect(plan).not.toContain('Sort');
    }
    await client.end();
  });
});
