import pg from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Maintenance } from '../../src/jobs/maintenance.service.js';
import { TestApp } from '../support/test-app.js';
import { usageEvent } from '../support/usage-events.js';

const DAY_MS = 86_400_000;

/** Tables by time, the job that makes their partitions, and the last that it makes. */
const TABLES = [
  { table: 'usage_events', job: 'make-usage-partitions', last: () => `usage_events_${dayAhead(8)}` },
  { table: 'audit_logs', job: 'make-audit-log-partitions', last: () => `audit_logs_${monthAhead(2)}` },
];

describe('a long reader of a table that is partitioned by time', () => {
  let app: TestApp;
  let reader: pg.Client;
  beforeAll(async () => {
    app = await TestApp.start({ environment: { USAGE_RETENTION_DAYS: '31' } });
    reader = new pg.Client({ connectionString: app.database.url });
    await reader.connect();
  });
  afterAll(async () => {
    await reader.end();
    await app.stop();
  });

  const exists = async (table: string): Promise<boolean> => {
    const [row] = await app.database.query<{ is_there: boolean }>(
      'SELECT to_regclass($1) IS NOT NULL AS is_there',
      [table],
    );
    return row?.is_there === true;
  };
  const runNow = (job: string) => app.app.get(Maintenance).runNow(job);

  it('is every table with partitions that come and go', async () => {
    const tables = await app.database.query<{ name: string }>(
      `SELECT partrelid::regclass::text AS name FROM pg_partitioned_table WHERE partstrat = 'r' ORDER BY 1`,
    );
    expect(tables.map(({ name }) => name)).toEqual(TABLES.map(({ table }) => table).toSorted());
  });

  it.each(TABLES)(
    'of $table stops nobody while $job runs, which then makes the partition when it has left',
    async ({ table, job, last }) => {
      await app.database.query(`DROP TABLE ${last()}`);
      const key = await app.apiKey();
      await reader.query(`BEGIN; SELECT count(*) FROM ${table}`);
      const running = runNow(job);
      // Each of these writes a usage event or an audit row, while the job waits or has given up.
      const answers = await Promise.all([
        app.admin.post('/usage', usageEvent(key.id)),
        app.admin.get(`/api-keys/${key.id}`),
        app.admin.put(`/api-keys/${key.id}`, { name: 'Another name' }),
      ]);
      expect(answers.map(({ status }) => status)).toEqual([200, 200, 200]);
      await running;
      expect(await exists(last())).toBe(false);
      await reader.query('COMMIT');
      await runNow(job);
      expect(await exists(last())).toBe(true);
    },
  );

  it('of usage_events stops nobody while old days are dropped, which is done when it has left', async () => {
    const old = `usage_events_${dayAhead(-40)}`;
    await app.database.query(
      `SELECT ensure_usage_event_partitions((now() AT TIME ZONE 'UTC')::date - 40, 1)`,
    );
    const key = await app.apiKey();
    await reader.query('BEGIN; SELECT count(*) FROM usage_events');
    const running = runNow('drop-usage-partitions');
    expect((await app.admin.post('/usage', usageEvent(key.id))).status).toBe(200);
    await running;
    expect(await exists(old)).toBe(true);
    await reader.query('COMMIT');
    await runNow('drop-usage-partitions');
    expect(await exists(old)).toBe(false);
  });

  it('an event of a day without a partition is stored, and moves there when the partition is made', async () => {
    const day = new Date(Date.now() - 3 * DAY_MS);
    const partition = `usage_events_${dayAhead(-3)}`;
    await app.database.query(`DROP TABLE ${partition}`);
    const key = await app.apiKey();
    const event = usageEvent(key.id, { occurred_at: day.toISOString() });
    expect((await app.admin.post('/usage', event)).body).toMatchObject({ accepted: 1 });
    const rowsIn = async (table: string) =>
      (await app.database.query(`SELECT FROM ${table} WHERE api_key_id = $1`, [key.id])).length;
    expect(await rowsIn('usage_events_other_days')).toBe(1);
    await runNow('make-usage-partitions');
    expect(await rowsIn('usage_events_other_days')).toBe(0);
    expect(await rowsIn(partition)).toBe(1);
    expect((await app.admin.post('/usage', event)).body).toMatchObject({ accepted: 0, duplicates: 1 });
  });

  it('a new partition has the indexes and the triggers of its table', async () => {
    for (const { table, last } of TABLES) {
      const shape = (name: string) =>
        app.database.query(
          `SELECT (SELECT count(*)::int FROM pg_index WHERE indrelid = $1::regclass) AS indexes,
             (SELECT json_agg(tgname || tgenabled::text ORDER BY tgname) FROM pg_trigger WHERE tgrelid = $1::regclass) AS triggers`,
          [name],
        );
      expect(await shape(last())).toEqual(await shape(table));
    }
  });
});

function dayAhead(days: number): string {
  return new Date(Date.now() + days * DAY_MS).toISOString().slice(0, 10).replaceAll('-', '_');
}

function monthAhead(months: number): string {
  const now = new Date();
  const month = new Date(Date.UTC(now.getUTCFullYear(), now.getUTCMonth() + months));
  return month.toISOString().slice(0, 7).replaceAll('-', '_');
}
