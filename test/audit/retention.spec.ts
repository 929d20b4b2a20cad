import { createHash } from 'node:crypto';
import pg from 'pg';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { setAuditRetention } from '../../src/audit/audit-retention.js';
import { Maintenance } from '../../src/jobs/maintenance.service.js';
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

  it('lets readers of the log go first, and those who write it never wait for long', async () => {
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

  it('leaves a row for each month: how many rows it had, from which to which, and a digest of all of them', async () => {
    // More than are read at once.
    await app.database.query(`
      INSERT INTO audit_logs (id, created_at, user_id, action, resource_type, details, success)
      SELECT gen_random_uuid(), date_trunc('month', now(), 'UTC') - interval '3 months' + i * interval '1 second', i, 'many', 'test',
        jsonb_build_object('n', i, 'text', 'Übergang'), true FROM generate_series(1, 5200) AS i`);
    const months = await app.database.query<{ month: string; name: string }>(`
      SELECT to_char(month, 'YYYY-MM') AS month, 'audit_logs_' || to_char(month, 'YYYY_MM') AS name
      FROM generate_series(3, 5) AS i CROSS JOIN LATERAL (SELECT date_trunc('month', now(), 'UTC') AT TIME ZONE 'UTC' - i * interval '1 month' AS month) AS months
      ORDER BY 1`);
    const expected = await Promise.all(
      months.map(async ({ month, name }) => {
        const rows = await rowsOf(name);
        const digest = rows.reduce<Buffer>(
          (before, { text }) => createHash('sha256').update(before).update(text).digest(),
          Buffer.alloc(0),
        );
        return {
          resource_id: month,
          details: {
            rows: rows.length,
            first_id: rows[0]?.id,
            first_created_at: expect.any(String),
            last_id: rows.at(-1)?.id,
            last_created_at: expect.any(String),
            sha256: digest.toString('hex'),
          },
        };
      }),
    );
    expect(expected.map(({ details }) => details.rows > 5_000)).toEqual([false, false, true]);
    const before = await proofs();
    await setAuditRetention(app.database.url, 2);

    // A month that has begun to go is out of the log, and cannot be changed until its digest is written.
    await app.database.query('SELECT drop_audit_log_partitions()');
    expect(await ages()).toEqual([0, 1, 2, 3, 4]);
    expect(await proofs()).toEqual(before);
    const [{ name } = { name: '' }] = months;
    const [row] = await rowsOf(name);
    for (const change of [
      `INSERT INTO ${name} SELECT gen_random_uuid(), created_at FROM ${name}`,
      `UPDATE ${name} SET action = 'other'`,
      `DELETE FROM ${name}`,
      `TRUNCATE ${name}`,
    ])
      await expect(app.database.query(change)).rejects.toThrow(/append-only/);
    expect(await rowsOf(name)).toEqual([row]);

    await dropOld();
    await dropOld();
    expect(await ages()).toEqual([0, 1, 2]);
    const written = (await proofs()).slice(before.length);
    expect(written).toMatchObject(expected);
    for (const { details } of written) {
      expect(Date.parse(details['first_created_at']!)).toBeLessThanOrEqual(
        Date.parse(details['last_created_at']!),
      );
    }
    expect(await app.database.query('SELECT month FROM audit_log_digests')).toEqual([]);
    await setAuditRetention(app.database.url, undefined);
  });

  /** The rows of a month in the order of the log, as JSON. */
  async function rowsOf(table: string): Promise<{ id: string; text: string }[]> {
    const client = new pg.Client({ connectionString: app.database.url });
    await client.connect();
    await client.query(`SET timezone = 'UTC'`);
    const { rows } = await client.query<{ id: string; text: string }>(
      `SELECT id, row_to_json(logs)::text AS text FROM ${table} AS logs ORDER BY created_at, id`,
    );
    await client.end();
    return rows;
  }

  /** What the log says of months that were dropped, in their order. */
  async function proofs() {
    const { body } = await app.admin.get('/audit-logs?action=drop_audit_log_month&limit=100');
    const rows = body['audit_logs'] as { resource_id: string; details: Record<string, string> }[];
    return rows.toReversed();
  }
});
