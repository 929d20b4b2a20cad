import pg from 'pg';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { setAuditRetention } from '../../src/audit/audit-retention.js';
import { Maintenance } from '../../src/database/maintenance.js';
import { TestApp } from '../support/test-app.js';

describe('AUDIT_RETENTION_MONTHS', () => {
  let app: TestApp;
  beforeAll(async () => {
    app = await TestApp.start();
  });
  afterAll(() => app.stop());
  beforeEach(async () => {
    await app.database.query(
      `SELECT ensure_audit_log_partitions((now() AT TIME ZONE 'UTC' - interval '5 months')::date, 5);
       INSERT INTO audit_logs (id, created_at, action, resource_type, details, success)
       SELECT gen_random_uuid(), date_trunc('month', now(), 'UTC') - i * interval '1 month', 'aged', 'test', '{}', true
       FROM generate_series(0, 5) AS i;`,
    );
  });

  const dropOld = () => app.app.get(Maintenance).runNow('drop-audit-log-partitions');
  /** How many months ago the rows are from that are there. */
  const ages = async () =>
    (
      await app.database.query<{ age: number }>(
        `SELECT DISTINCT (12 * date_part('year', age) + date_part('month', age))::int AS age
         FROM (SELECT age(date_trunc('month', now(), 'UTC'), created_at) FROM audit_logs WHERE action = 'aged') AS ages
         ORDER BY 1`,
      )
    ).map(({ age }) => age);

  it('keeps everything unless set', async () => {
    await dropOld();
    expect(await ages()).toEqual([0, 1, 2, 3, 4, 5]);
  });

  it('drops whole months that are older, and nothing else; the rest cannot be changed still', async () => {
    await setAuditRetention(app.database.url, 2);
    await dropOld();
    expect(await ages()).toEqual([0, 1, 2]);
    await expect(app.database.query(`DELETE FROM audit_logs WHERE action = 'aged'`)).rejects.toThrow(
      /append-only/,
    );
    expect((await app.admin.get('/audit-logs?action=aged')).status).toBe(200);
    await setAuditRetention(app.database.url, undefined);
  });

  it('lets whoever reads the log go first, and those who write it never wait for long', async () => {
    await setAuditRetention(app.database.url, 1);
    const client = new pg.Client({ connectionString: app.database.url });
    await client.connect();
    await client.query('BEGIN; LOCK TABLE audit_logs IN ACCESS SHARE MODE');
    await expect(dropOld()).rejects.toThrow(/lock timeout/);
    expect(await ages()).toEqual([0, 1, 2, 3, 4, 5]);
    await client.end();
    await dropOld();
    expect(await ages()).toEqual([0, 1]);
    await setAuditRetention(app.database.url, undefined);
  });
});
