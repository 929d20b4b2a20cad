import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { pageStatement } from '../../src/audit/audit-log.query.js';
import { AuditLogsService } from '../../src/audit/audit-logs.service.js';
import { MOST_DETAILS_BYTES } from '../../src/audit/storable.js';
import type { ApiAnswer } from '../support/api-client.js';
import { TestApp } from '../support/test-app.js';

/** As many as may make several pages of what rows could weigh before their details were bounded. */
const OLD_ROWS = 120;
const OLD_ROW_BYTES = 160_000;

describe('audit rows with much to say', () => {
  let app: TestApp;
  beforeAll(async () => {
    app = await TestApp.start();
    // Most of them compress well, the others hardly: their size in the table says little about what they are.
    await app.database.query(
      `INSERT INTO audit_logs (id, created_at, action, resource_type, details, success)
       SELECT gen_random_uuid(), now() - i * interval '1 second', 'oversized', 'test',
         jsonb_build_object('text', CASE i % 4 WHEN 0 THEN
           (SELECT string_agg(md5(i::text || part::text), '') FROM generate_series(1, ${OLD_ROW_BYTES / 32}) AS part)
           ELSE repeat('x', ${OLD_ROW_BYTES}) END), true
       FROM generate_series(1, ${OLD_ROWS}) AS i`,
    );
  });
  afterAll(() => app.stop());

  it('say at most 16 kB of the largest change there is, and name what was cut', async () => {
    const { id } = await app.apiKey();
    const list = (of: string) =>
      Array.from({ length: 100 }, (_item, index) => `${of}${index}-`.padEnd(200, of));
    const lists = (of: string) => ({
      scopes: list(of),
      allowed_models: list(of),
      allowed_chatbots: list(of),
      tags: list(of),
    });
    expect((await app.admin.put(`/api-keys/${id}`, lists('a'))).status).toBe(200);
    expect((await app.admin.put(`/api-keys/${id}`, lists('b'))).status).toBe(200);
    const { body } = await app.admin.get(`/audit-logs?resource_id=${id}&action=update_api_key&limit=1`);
    const { details } = body['audit_logs'][0];
    const fields = ['scopes', 'allowed_models', 'allowed_chatbots', 'tags'];
    expect(details['truncated'].toSorted()).toEqual(
      [
        ...fields.map((field) => `after_values.${field}`),
        ...fields.map((field) => `before_values.${field}`),
      ].toSorted(),
    );
    expect(details['updated_fields'].toSorted()).toEqual(fields.toSorted());
    expect(details['after_values']['tags']).toEqual(
      list('b').slice(0, details['after_values']['tags'].length),
    );
    const stored = await app.database.query<{ bytes: number }>(
      `SELECT max(octet_length(details::text)) AS bytes FROM audit_logs WHERE action = 'update_api_key'`,
    );
    // PostgreSQL writes JSON with blanks between.
    expect(stored[0]?.bytes).toBeLessThan(MOST_DETAILS_BYTES * 1.2);
  });

  it('of earlier versions are read whole, page by page, whatever the limit', async () => {
    const ids: string[] = [];
    let cursor = '';
    do {
      const answer: ApiAnswer = await app.admin.get(`/audit-logs?action=oversized&limit=200${cursor}`);
      expect(answer.status).toBe(200);
      for (const row of answer.body['audit_logs']) {
        expect(row['details']['text']).toHaveLength(OLD_ROW_BYTES);
        ids.push(row['id']);
      }
      // Larger only by what is beside the details, and by its last row.
      expect(answer.text.length).toBeLessThan(1.1 * 1_048_576 + OLD_ROW_BYTES);
      cursor = answer.body['next_cursor'] === null ? '' : `&cursor=${String(answer.body['next_cursor'])}`;
    } while (cursor !== '');
    expect(new Set(ids).size).toBe(OLD_ROWS);
    expect(ids).toHaveLength(OLD_ROWS);
  });

  it('are weighed by the database, so that a page keeps no other request of this process waiting', async () => {
    const written = vi.spyOn(JSON, 'stringify');
    const question = { selection: { action: 'oversized' }, order: 'desc' } as const;
    const { rows, nextCursor } = await app.app.get(AuditLogsService).list(1, question, 200);
    const wroteDetails = written.mock.calls.some(([value]) => rows.some(({ details }) => details === value));
    written.mockRestore();
    expect(rows.length).toBeGreaterThan(5);
    expect(nextCursor).not.toBeNull();
    expect(wroteDetails).toBe(false);
  });

  it('of earlier versions are exported whole', async () => {
    const { text } = await app.admin.get('/audit-logs?action=oversized', { accept: 'application/x-ndjson' });
    expect(text.trimEnd().split('\n')).toHaveLength(OLD_ROWS);
  });
});

describe('rows that are hard to find', () => {
  let app: TestApp;
  let user: number;
  beforeAll(async () => {
    app = await TestApp.start();
    user = (await app.user()).id;
    await app.database.query(
      `INSERT INTO audit_logs (id, created_at, user_id, action, resource_type, details, success)
       SELECT gen_random_uuid(), now() - i * interval '1 second', $1, CASE i % 25000 WHEN 7 THEN 'rare' ELSE 'usual' END,
         'test', '{}', true FROM generate_series(1, 60000) AS i`,
      [user],
    );
    await app.database.query('ANALYZE audit_logs');
    await untilOlderTransactionsHaveEnded(app);
  });
  afterAll(() => app.stop());

  it.each(['desc', 'asc'])(
    'are found in the order %s by statements that each look at a part of the log',
    async (order) => {
      const found: string[] = [];
      let [cursor, pages] = ['', 0];
      do {
        const answer = await app.admin.get(
          `/audit-logs?user_id=${user}&action=rare&success=true&order=${order}&limit=2${cursor}`,
        );
        expect(answer.status).toBe(200);
        found.push(...answer.body['audit_logs'].map((row: ApiAnswer['body']) => row['id'] as string));
        const next = answer.body['next_cursor'] as string | null;
        cursor = next === null ? '' : `&cursor=${next}`;
        pages += 1;
      } while (cursor !== '' && found.length < 3 && pages < 200);
      const expected = await app.database.query<{ id: string }>(
        `SELECT id FROM audit_logs WHERE action = 'rare' ORDER BY created_at DESC`,
      );
      expect(found.toSorted()).toEqual(expected.map(({ id }) => id).toSorted());
      if (order === 'desc') expect(found).toEqual(expected.map(({ id }) => id));
    },
  );

  it.each(['newest_first', 'committed'] as const)(
    'cost no statement in the order %s more than 20,000 rows, however few it finds',
    async (walk) => {
      const selection = { userId: user, action: 'never', success: true };
      const { text, values } = pageStatement(selection, walk, undefined, { maxRows: 3, maxBytes: 1_000_000 });
      const [row] = await app.database.query<{ 'QUERY PLAN': [{ Plan: PlanNode }] }>(
        `EXPLAIN (ANALYZE, FORMAT JSON) ${text}`,
        values,
      );
      const read = rowsRead(row!['QUERY PLAN'][0].Plan);
      expect(read).toBeGreaterThan(10_000);
      expect(read).toBeLessThanOrEqual(20_000 + ROWS_OF_OTHERS);
    },
  );
});

/** In the order of commits a row is seen once no older transaction of the server runs, those of other tests included. */
async function untilOlderTransactionsHaveEnded({ database }: TestApp): Promise<void> {
  const [now] = await database.query<{ xid: string }>('SELECT pg_current_xact_id()::text AS xid');
  await vi.waitFor(
    async () => {
      const [row] = await database.query<{ ended: boolean }>(
        'SELECT pg_snapshot_xmin(pg_current_snapshot()) > $1::xid8 AS ended',
        [now!.xid],
      );
      expect(row?.ended).toBe(true);
    },
    { timeout: 100_000, interval: 50 },
  );
}

/** What the log holds beside the rows of this test, at most, with what the rounding of plans adds. */
const ROWS_OF_OTHERS = 1_000;

interface PlanNode {
  readonly 'Relation Name'?: string;
  readonly 'Actual Rows': number;
  readonly 'Actual Loops': number;
  readonly 'Rows Removed by Filter'?: number;
  readonly Plans?: readonly PlanNode[];
}

/** How many rows of the log a plan looked at. */
function rowsRead(node: PlanNode): number {
  const isOfLog = node['Relation Name']?.startsWith('audit_logs_2') === true;
  const seen = (node['Actual Rows'] + (node['Rows Removed by Filter'] ?? 0)) * node['Actual Loops'];
  return (node.Plans ?? []).reduce((sum, inner) => sum + rowsRead(inner), isOfLog ? seen : 0);
}
