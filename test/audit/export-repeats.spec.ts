import { type IncomingMessage, request } from 'node:http';
import type pg from 'pg';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { AuditLogsService } from '../../src/audit/audit-logs.service.js';
import { ReportPool } from '../../src/database/pools.js';
import { LockedTables } from '../support/locked-tables.js';
import { ADMIN, TestApp } from '../support/test-app.js';

/** Far more than sockets keep for a client that does not read. */
const [ROWS, DETAILS_BYTES] = [8_000, 4_000];

describe('an export of the audit log that has begun', () => {
  let app: TestApp;
  let pool: pg.Pool;
  let token: string;
  beforeAll(async () => {
    app = await TestApp.start();
    pool = app.app.get(ReportPool);
    await app.database.query(
      `INSERT INTO audit_logs (id, created_at, action, resource_type, details, success)
       SELECT gen_random_uuid(), now() - i * interval '1 second', 'exported', 'test',
         jsonb_build_object('text', repeat('x', ${DETAILS_BYTES})), true FROM generate_series(1, ${ROWS}) AS i`,
    );
    token = (await app.anonymous.post('/auth/login', ADMIN)).body['access_token'];
  });
  afterAll(() => app.stop());

  function begin(): Promise<IncomingMessage> {
    const headers = { authorization: `Bearer ${token}`, accept: 'application/x-ndjson' };
    return new Promise((resolve, reject) => {
      request(`${app.anonymous.baseUrl}/api/v1/audit-logs?action=exported`, { headers }, resolve)
        .on('error', reject)
        .end();
    });
  }

  async function idsOf(answer: IncomingMessage): Promise<string[]> {
    let text = '';
    for await (const part of answer.setEncoding('utf8')) text += part as string;
    return text
      .trimEnd()
      .split('\n')
      .map((line) => (JSON.parse(line) as { id: string }).id);
  }

  /** Takes all connections of reports, and lets nobody wait for one for long; `asked` counts who wanted one. */
  async function whileOccupied(work: (asked: () => number) => Promise<void>): Promise<void> {
    const clients = await Promise.all(Array.from({ length: pool.options.max }, () => pool.connect()));
    const { connectionTimeoutMillis } = pool.options;
    pool.options.connectionTimeoutMillis = 20;
    const queries = vi.spyOn(pool, 'query');
    try {
      await work(() => queries.mock.calls.length);
    } finally {
      queries.mockRestore();
      Object.assign(pool.options, { connectionTimeoutMillis });
      for (const client of clients) client.release();
    }
  }

  function expectAll(ids: readonly string[]): void {
    expect(ids).toHaveLength(ROWS);
    expect(new Set(ids).size).toBe(ROWS);
  }

  it('goes on when other reports leave it no connection for longer than anybody waits for one', async () => {
    const answer = await begin();
    let ids: Promise<string[]> | undefined;
    await whileOccupied(async (asked) => {
      ids = idsOf(answer);
      // Two attempts have failed before a third begins.
      await vi.waitUntil(() => asked() >= 3, { timeout: 20_000 });
    });
    expectAll((await ids) ?? []);
  });

  it('goes on when a batch takes longer than a statement may', async () => {
    const answer = await begin();
    const table = await LockedTables.lock(app.database, []);
    await table.query('LOCK TABLE audit_logs IN ACCESS EXCLUSIVE MODE');
    const ids = idsOf(answer);
    for (const _attempt of [1, 2]) {
      await table.untilAwaited(1, () => false);
      // What `statement_timeout` does.
      await app.database.query(
        `SELECT pg_cancel_backend(pid) FROM pg_stat_activity
         WHERE datname = current_database() AND wait_event_type = 'Lock' AND application_name = 'latchkey-reports'`,
      );
    }
    await table.release();
    expectAll(await ids);
  });

  it('has smaller batches from then on', async () => {
    await app.database.query(
      `INSERT INTO audit_logs (id, created_at, action, resource_type, details, success)
       SELECT gen_random_uuid(), now(), 'small', 'test', '{}', true FROM generate_series(1, 3000)`,
    );
    const question = { selection: { action: 'small' }, order: 'desc' } as const;
    const batches = await app.app.get(AuditLogsService).export(1, question, new AbortController().signal);
    const read = batches[Symbol.asyncIterator]();
    await read.next();
    const sizes: number[] = [];
    const readBatch = () => read.next().then(({ value }) => sizes.push((value as unknown[]).length));
    let next: Promise<unknown> | undefined;
    await whileOccupied(async (asked) => {
      next = readBatch();
      await vi.waitUntil(() => asked() >= 2, { timeout: 20_000 });
    });
    await next;
    await readBatch();
    await read.return?.();
    expect(sizes).toHaveLength(2);
    expect(Math.max(...sizes)).toBeLessThanOrEqual(500);
  });

  it('ends when its client has left meanwhile', async () => {
    const client = new AbortController();
    const selection = { action: 'exported' };
    const question = { selection, order: 'desc' } as const;
    const batches = await app.app.get(AuditLogsService).export(1, question, client.signal);
    const read = batches[Symbol.asyncIterator]();
    await read.next();
    await whileOccupied(async (asked) => {
      const next = read.next();
      await vi.waitUntil(() => asked() >= 2, { timeout: 20_000 });
      client.abort();
      expect((await next).done).toBe(true);
    });
  });
});
