import pg from 'pg';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { Maintenance } from '../../src/jobs/maintenance.service.js';
import type { ApiAnswer } from '../support/api-client.js';
import { TestApp } from '../support/test-app.js';

/** What a collector of one action has read. */
class Collector {
  readonly ids: string[] = [];
  #cursor = '';

  constructor(
    private readonly app: TestApp,
    private readonly action: string,
    private readonly limit = 7,
  ) {}

  /** Reads on to the end; the rows it found. */
  async readOn(): Promise<number> {
    const before = this.ids.length;
    for (;;) {
      const query = `action=${this.action}&order=asc&limit=${this.limit}${this.#cursor}`;
      const { status, body, text } = await this.app.admin.get(`/audit-logs?${query}`);
      if (status !== 200) throw new Error(text);
      this.#cursor = `&cursor=${String(body['next_cursor'])}`;
      if (body['audit_logs'].length === 0) return this.ids.length - before;
      this.ids.push(...body['audit_logs'].map((row: ApiAnswer['body']) => row['id'] as string));
    }
  }

  /** Transactions elsewhere on the server may run for a while; rows younger than they are shown later. */
  async readUntil(count: number): Promise<void> {
    await vi.waitUntil(
      async () => {
        await this.readOn();
        return this.ids.length >= count;
      },
      { timeout: 40_000 },
    );
  }
}

describe('a collector of the audit log', () => {
  let app: TestApp;
  beforeAll(async () => {
    app = await TestApp.start();
  });
  afterAll(() => app.stop());

  const insert = (action: string, createdAt = 'clock_timestamp()', rows = 1) =>
    `INSERT INTO audit_logs (id, created_at, action, resource_type, details, success)
     SELECT gen_random_uuid(), ${createdAt}, '${action}', 'test', '{}', true FROM generate_series(1, ${rows}) AS i
     RETURNING id`;
  const add = async (action: string, createdAt?: string, rows?: number) =>
    (await app.database.query<{ id: string }>(insert(action, createdAt, rows))).map(({ id }) => id);
  const connect = async () => {
    const client = new pg.Client({ connectionString: app.database.url });
    await client.connect();
    return client;
  };

  it('misses no row of a transaction that commits late, and shows none twice', async () => {
    const collector = new Collector(app, 'late');
    const first = await add('late');
    await collector.readUntil(1);
    const late = await connect();
    await late.query('BEGIN');
    const { rows } = await late.query<{ id: string }>(insert('late'));
    const others = [...(await add('late')), ...(await add('late'))];
    // Had it been shown what came after the open one, it would go on from there.
    expect(await collector.readOn()).toBe(0);
    await late.query('COMMIT');
    await late.end();
    await collector.readUntil(4);
    expect(collector.ids).toEqual([...first, ...rows.map(({ id }) => id), ...others]);
    expect(await collector.readOn()).toBe(0);
  });

  it('reads every row once while many transactions commit in any order, also with clocks that differ', async () => {
    const collector = new Collector(app, 'busy', 5);
    let isOver = false;
    const written: string[] = [];
    const writers = Array.from({ length: 6 }, async (_item, writer) => {
      const client = await connect();
      for (let round = 0; round < 12; round += 1) {
        await client.query('BEGIN');
        const clock = `clock_timestamp() + interval '${(writer - 3) * 20} minutes'`;
        const { rows } = await client.query<{ id: string }>(insert('busy', clock, 1 + (round % 3)));
        await client.query(`SELECT pg_sleep(random() / 50)`);
        const isKept = (round + writer) % 5 !== 0;
        await client.query(isKept ? 'COMMIT' : 'ROLLBACK');
        if (isKept) written.push(...rows.map(({ id }) => id));
      }
      await client.end();
    });
    const reading = (async () => {
      while (!isOver) await collector.readOn();
    })();
    await Promise.all(writers);
    isOver = true;
    await reading;
    await collector.readUntil(written.length);
    expect(collector.ids.toSorted()).toEqual(written.toSorted());
  });

  it('begins with what was written before rows were numbered, oldest first', async () => {
    await app.database.query(`UPDATE audit_log_numbering SET unnumbered_until = timestamptz '2026-03-01Z'`);
    const old = await app.database.query<{ id: string }>(
      `INSERT INTO audit_logs (id, created_at, action, resource_type, details, success, position)
       SELECT gen_random_uuid(), timestamptz '2026-02-01Z' + i * interval '1 hour', 'upgraded', 'test', '{}', true, NULL
       FROM generate_series(1, 20) AS i RETURNING id`,
    );
    const fresh = await add('upgraded', `timestamptz '2026-01-01Z'`, 3);
    const collector = new Collector(app, 'upgraded');
    await collector.readUntil(23);
    expect(collector.ids.slice(0, 20)).toEqual(old.map(({ id }) => id));
    expect(collector.ids.slice(20).toSorted()).toEqual(fresh.toSorted());
  });

  it('goes on after the log was moved to a server that counts its transactions anew', async () => {
    const collector = new Collector(app, 'moved');
    const [before] = await app.database.query<{ id: string }>(
      `INSERT INTO audit_logs (id, created_at, action, resource_type, details, success, position)
       VALUES (gen_random_uuid(), now(), 'moved', 'test', '{}', true, 5000000000000) RETURNING id`,
    );
    await app.app.get(Maintenance).runNow('continue-audit-log-numbers');
    await collector.readUntil(1);
    const after = await add('moved');
    await collector.readUntil(2);
    expect(collector.ids).toEqual([before?.id, ...after]);
  });

  it('exports in the same order, to the end', async () => {
    const ids = [...(await add('streamed', undefined, 1)), ...(await add('streamed', undefined, 1))];
    await new Collector(app, 'streamed').readUntil(2);
    const { text } = await app.admin.get('/audit-logs?action=streamed&order=asc', {
      accept: 'application/x-ndjson',
    });
    const lines = text.trimEnd().split('\n');
    expect(lines.map((line) => (JSON.parse(line) as { id: string }).id)).toEqual(ids);
  });

  it.each([
    ['asc', 'desc'],
    ['desc', 'asc'],
  ])('cannot go on in the order %s from a cursor of the order %s', async (order, other) => {
    const { body } = await app.admin.get(`/audit-logs?limit=1&order=${other}`);
    const answer = await app.admin.get(`/audit-logs?order=${order}&cursor=${String(body['next_cursor'])}`);
    expect(answer.status).toBe(422);
    expect(answer.body['errors']).toEqual([expect.objectContaining({ field: 'cursor' })]);
  });
});
