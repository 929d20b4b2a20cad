import pg from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Maintenance } from '../../src/jobs/maintenance.service.js';
import { untilWaiting } from '../support/locked-row.js';
import { type TestApiKey, TestApp } from '../support/test-app.js';
import { usageEvent } from '../support/usage-events.js';

const DAY_MS = 86_400_000;
const RETENTION_DAYS = 45;

describe('maintenance of usage', () => {
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

  /** Makes the newest generation of request ids so old that the job begins the next. */
  const beginNextGeneration = async () => {
    await app.database.query(
      `UPDATE usage_request_generations SET began_at = now() - interval '31 days 1 second' WHERE ended_at IS NULL`,
    );
    await maintenance.runNow('expire-usage-request-ids');
  };
  const endAllAgo = async (interval: string) => {
    await app.database.query(
      'UPDATE usage_request_generations SET ended_at = now() - $1::interval WHERE ended_at IS NOT NULL',
      [interval],
    );
    await maintenance.runNow('expire-usage-request-ids');
  };
  /** Their numbers, each with whether its table is there. */
  const generations = async () => {
    const rows = await app.database.query<{ number: number; name: string }>(`
      SELECT number, to_regclass('usage_requests_' || number)::text AS name
      FROM usage_request_generations ORDER BY number`);
    const tables = await app.database.query(
      `SELECT inhrelid FROM pg_inherits WHERE inhparent = 'usage_requests'::regclass`,
    );
    expect(rows.map(({ name }) => name)).toEqual(rows.map(({ number }) => `usage_requests_${number}`));
    expect(tables).toHaveLength(rows.length);
    return rows.map(({ number }) => number);
  };
  const report = async (events: readonly object[]) => (await app.admin.post('/usage', events)).body;
  const foundBy = async ({ id }: TestApiKey, requestId: string): Promise<unknown[]> =>
    (await app.admin.get(`/api-keys/${id}/usage/events?request_id=${requestId}`)).body['usage_events'];

  it('remembers request ids for 31 days at least, also those of the generation before, and then forgets them', async () => {
    const key = await app.apiKey();
    const [first] = await generations();
    const old = [1, 2, 3].map((n) => usageEvent(key.id, { request_id: `old-${n}` }));
    expect(await report(old)).toMatchObject({ accepted: 3, duplicates: 0 });
    await beginNextGeneration();
    expect(await generations()).toEqual([first, first! + 1]);

    // In a list with new ones, with another content, one by one, twice in a list, and for a hold.
    const fresh = usageEvent(key.id);
    expect(await report([...old, fresh, fresh])).toMatchObject({ accepted: 1, duplicates: 4 });
    expect(await report([{ ...old[0], cost_cents: 7 }])).toMatchObject({ accepted: 0, conflicts: [{}] });
    expect(await report([old[1]!])).toMatchObject({ accepted: 0, duplicates: 1 });
    const hold = { api_key_id: key.id, amount_cents: 1, ttl_seconds: 60 };
    const { body: held } = await app.admin.post('/budget-holds', hold);
    const settled = await app.admin.post(`/budget-holds/${String(held['id'])}/settle`, {
      request_id: 'old-3',
      cost_cents: 1,
    });
    expect(settled.status).toBe(409);
    expect(await foundBy(key, 'old-1')).toHaveLength(1);

    await endAllAgo('30 days 23 hours');
    expect(await report(old)).toMatchObject({ accepted: 0, duplicates: 3 });
    await endAllAgo('31 days 1 second');
    expect(await generations()).toEqual([first! + 1]);
    expect(await foundBy(key, 'old-1')).toEqual([]);
    expect(await report([...old, fresh])).toMatchObject({ accepted: 3, duplicates: 1 });
  });

  it('forgets a generation by dropping its table, and deletes no single id; a reader delays it, and no report', async () => {
    const key = await app.apiKey();
    const [number] = await generations();
    await app.database.query(`
      CREATE FUNCTION refuse_single_deletion() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN RAISE 'A request id was deleted by itself.'; END $$;
      CREATE TRIGGER refuse_single_deletion BEFORE DELETE ON usage_requests
        FOR EACH ROW EXECUTE FUNCTION refuse_single_deletion()`);
    await report([usageEvent(key.id)]);
    await beginNextGeneration();
    const reader = new pg.Client({ connectionString: app.database.url });
    await reader.connect();
    await reader.query('BEGIN; SELECT count(*) FROM usage_requests');
    await endAllAgo('31 days 1 second');
    expect(await generations()).toEqual([number, number! + 1]);
    expect(await report([usageEvent(key.id)])).toMatchObject({ accepted: 1 });
    await reader.query('COMMIT');
    await reader.end();
    await maintenance.runNow('expire-usage-request-ids');
    expect(await generations()).toEqual([number! + 1]);
    await app.database.query('DROP FUNCTION refuse_single_deletion CASCADE');
  });

  it('counts an id once that is reported on both sides of the moment at which a generation begins', async () => {
    const key = await app.apiKey();
    // One report has written into the old generation and not yet committed; the other already waits for it.
    const writer = new pg.Client({ connectionString: app.database.url });
    await writer.connect();
    const [{ id: userId } = { id: 0 }] = await app.database.query<{ id: number }>(
      `SELECT id::int FROM users WHERE role = 'admin' ORDER BY id LIMIT 1`,
    );
    await report([usageEvent(key.id)]);
    await writer.query('BEGIN');
    const written = await writer.query(
      `SELECT others FROM record_usage(ARRAY[$1]::bigint[], ARRAY['both'], ARRAY['/'], ARRAY['POST'], ARRAY['m'], ARRAY[1]::bigint[],
        ARRAY[1]::bigint[], ARRAY[1]::bigint[], ARRAY[200], ARRAY[1]::bigint[], ARRAY[now()], ARRAY[NULL]::uuid[],
        ARRAY[$2]::bigint[], ARRAY[-$2]::bigint[], ARRAY[NULL]::integer[])`,
      [key.id, userId],
    );
    expect(written.rows).toEqual([{ others: null }]);
    const waiting = report([usageEvent(key.id, { request_id: 'both' })]);
    await untilWaiting(app.database, 1);
    await beginNextGeneration();
    await writer.query('COMMIT');
    await writer.end();
    expect(await waiting).toMatchObject({ accepted: 0, duplicates: 1 });
    expect(await countOf('usage_requests', key.id)).toBe(2);

    // And by many at once.
    for (let round = 0; round < 3; round += 1) {
      const events = Array.from({ length: 60 }, () => usageEvent(key.id));
      const answers = await Promise.all([
        report(events),
        report(events.toReversed()),
        beginNextGeneration(),
        ...events.slice(0, 20).map((event) => report([event])),
        report(events),
      ]);
      const accepted = answers.map((answer) => Number(answer?.['accepted'] ?? 0));
      expect(accepted.reduce((sum, count) => sum + count, 0)).toBe(60);
    }
  });
});
