import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Maintenance } from '../../src/jobs/maintenance.service.js';
import type { ApiAnswer } from '../support/api-client.js';
import { TestApp } from '../support/test-app.js';

const OTHER_MONTHS = 'audit_logs_other_months';

let app: TestApp;
beforeAll(async () => {
  app = await TestApp.start();
  for (const month of ['1999-05-01', '2150-05-01']) await insertRow('far_away', `${month}T00:00:00Z`);
  for (const month of monthsFromNow(3)) await insertRow('seen_here', `${month}-02T00:00:00Z`);
});
afterAll(() => app.stop());

describe('The audit log is append-only', () => {
  it.each(['origin', 'replica', 'local'])(
    'in the log and in each partition, for a superuser whose session is %s',
    async (replicationRole) => {
      const logs = ['audit_logs', ...(await partitions())];
      expect(logs.length).toBeGreaterThanOrEqual(5);
      const before = await rowsByPartition();
      for (const log of logs) {
        // A statement that finds no row to change does no harm, so each partition is given one.
        if (log !== 'audit_logs') expect(before[log]).toBeGreaterThan(0);
        for (const statement of [
          `UPDATE ${log} SET success = NOT success`,
          `DELETE FROM ${log}`,
          `TRUNCATE ${log}`,
          `DELETE FROM ONLY ${log}`,
          `INSERT INTO ${log} SELECT * FROM ${log} ON CONFLICT (created_at, id) DO UPDATE SET success = false`,
          `MERGE INTO ${log} AS log USING (VALUES (1)) AS one ON true WHEN MATCHED THEN DELETE`,
        ]) {
          const outcome = await attempt(
            `SET LOCAL session_replication_role = ${replicationRole}; ${statement}`,
          );
          // Of the parent alone, which holds no rows itself, nothing can be deleted.
          const expected =
            statement === 'DELETE FROM ONLY audit_logs' ? 'done' : /append-only: \w+ is refused/;
          expect({ statement, outcome }).toEqual({ statement, outcome: expect.stringMatching(expected) });
        }
      }
      expect(await attempt('TRUNCATE audit_logs CASCADE')).toMatch(/append-only/);
      expect(await rowsByPartition()).toEqual(before);
    },
  );
});

describe('The partitions of the audit log', () => {
  it('exist for this month and the next two, and one for all others', async () => {
    expect(await partitions()).toEqual([...monthsFromNow(3).map(partitionOf), OTHER_MONTHS].toSorted());
  });

  it('are created by the maintenance that runs at start, as safe as the first ones', async () => {
    const [, , , fourth = ''] = monthsFromNow(4);
    await app.database.query('SELECT ensure_audit_log_partitions($1, 1)', [`${fourth}-01`]);
    await insertRow('made_later', `${fourth}-15`);
    await app.app.get(Maintenance).runNow('make-audit-log-partitions');

    expect(await partitionHolding('made_later')).toEqual([partitionOf(fourth)]);
    for (const statement of ['UPDATE % SET success = false', 'DELETE FROM %', 'TRUNCATE %']) {
      const outcome = await attempt(
        `SET LOCAL session_replication_role = replica; ${statement.replace('%', partitionOf(fourth))}`,
      );
      expect(outcome).toMatch(/append-only/);
    }
    const indexes = await app.database.query<{ table: string; indexes: number }>(
      `SELECT indrelid::regclass::text AS table, count(*)::int AS indexes FROM pg_index
       WHERE indrelid::regclass::text LIKE 'audit_logs%' GROUP BY 1`,
    );
    expect(new Set(indexes.map((row) => row.indexes)).size).toBe(1);
  });

  it('divide the months in UTC, wherever the session is', async () => {
    const [thisMonth = '', nextMonth = ''] = monthsFromNow(2);
    const lastMoment = new Date(Date.parse(`${nextMonth}-01T00:00:00Z`) - 1).toISOString();
    await insertRow('last_moment', lastMoment, 'Pacific/Auckland');
    await insertRow('first_moment', `${nextMonth}-01T00:00:00Z`, 'America/Los_Angeles');
    expect(await partitionHolding('last_moment')).toEqual([partitionOf(thisMonth)]);
    expect(await partitionHolding('first_moment')).toEqual([partitionOf(nextMonth)]);
  });

  it('hold rows of far months in the default one, where reads find them', async () => {
    expect(await partitionHolding('far_away')).toEqual([OTHER_MONTHS]);
    const { body } = await app.admin.get('/audit-logs?action=far_away');
    expect(body['audit_logs'].map((row: ApiAnswer['body']) => row['created_at'])).toEqual([
      '2150-05-01T00:00:00.000Z',
      '1999-05-01T00:00:00.000Z',
    ]);
    const selected = await app.admin.get('/audit-logs?action=far_away&to=2000-01-01T00:00:00Z');
    expect(selected.body['audit_logs']).toHaveLength(1);
  });

  it('whose rows stand in the default one are left out by the maintenance, which goes on', async () => {
    await insertRow('too_late', '2160-02-10');
    await app.database.query(`SELECT ensure_audit_log_partitions('2160-01-01', 3)`);
    expect(await partitions()).toEqual(expect.arrayContaining(['audit_logs_2160_01', 'audit_logs_2160_03']));
    expect(await partitions()).not.toContain('audit_logs_2160_02');
    await insertRow('too_late', '2160-02-11');
    expect((await app.admin.get('/audit-logs?action=too_late')).body['audit_logs']).toHaveLength(2);
  });
});

/** This month and those after it, such as 2026-11. */
function monthsFromNow(count: number): string[] {
  const now = new Date();
  return Array.from({ length: count }, (_value, step) =>
    new Date(Date.UTC(now.getUTCFullYear(), now.getUTCMonth() + step)).toISOString().slice(0, 7),
  );
}

function partitionOf(month: string): string {
  return `audit_logs_${month.replace('-', '_')}`;
}

async function partitions(): Promise<string[]> {
  const rows = await app.database.query<{ name: string }>(
    `SELECT inhrelid::regclass::text AS name FROM pg_inherits WHERE inhparent = 'audit_logs'::regclass ORDER BY 1`,
  );
  return rows.map(({ name }) => name);
}

async function rowsByPartition(): Promise<Record<string, number>> {
  const rows = await app.database.query<{ name: string; rows: number }>(
    'SELECT tableoid::regclass::text AS name, count(*)::int AS rows FROM audit_logs GROUP BY 1',
  );
  return Object.fromEntries(rows.map((row) => [row.name, row.rows]));
}

async function partitionHolding(action: string): Promise<string[]> {
  const rows = await app.database.query<{ name: string }>(
    'SELECT DISTINCT tableoid::regclass::text AS name FROM audit_logs WHERE action = $1',
    [action],
  );
  return rows.map(({ name }) => name);
}

async function insertRow(action: string, createdAt: string, timeZone = 'UTC'): Promise<void> {
  await app.database.query(`
    BEGIN; SET LOCAL TimeZone = '${timeZone}';
    INSERT INTO audit_logs (id, created_at, action, resource_type, details, success)
    VALUES (gen_random_uuid(), '${createdAt}', '${action}', 'test', '{}', true);
    COMMIT;`);
}

/** What became of some statements, which are one transaction. */
async function attempt(statements: string): Promise<string> {
  return app.database.query(statements).then(
    () => 'done',
    (error: unknown) => String(error),
  );
}
