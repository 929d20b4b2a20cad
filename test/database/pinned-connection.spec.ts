import pg from 'pg';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { PinnedConnection } from '../../src/database/pinned-connection.js';
import { meteringPoolOptions } from '../../src/database/connection-options.js';
import { DatabaseServer } from '../../src/database/database-server.js';
import { createTestDatabase, type TestDatabase } from '../support/database.js';

const BACKEND = { text: 'SELECT pg_backend_pid() AS pid' };

describe('a held connection', () => {
  let database: TestDatabase;
  let pool: pg.Pool;
  let connection: PinnedConnection;

  beforeAll(async () => {
    database = await createTestDatabase();
  });
  afterAll(() => database.drop());

  beforeEach(() => {
    pool = new pg.Pool(meteringPoolOptions(new DatabaseServer(database.url)));
    pool.on('error', () => undefined);
    connection = new PinnedConnection(pool);
  });
  afterEach(() => pool.end());

  const backend = async () => (await connection.query<{ pid: number }>(BACKEND)).rows[0]?.pid;

  it('is kept from one statement to the next, and goes back when none follows', async () => {
    const first = await backend();
    expect(pool.idleCount).toBe(0);
    expect(await backend()).toBe(first);
    await new Promise(setImmediate);
    await new Promise(setImmediate);
    expect([pool.totalCount, pool.idleCount]).toEqual([1, 1]);
  });

  it('runs what comes together on the same connection, and keeps it until the last is done', async () => {
    const slow = connection.query<{ pid: number }>({
      text: 'SELECT pg_backend_pid() AS pid FROM pg_sleep(0.1)',
    });
    const slower = connection.query<{ pid: number }>({
      text: 'SELECT pg_backend_pid() AS pid FROM pg_sleep(0.2)',
    });
    const { rows } = await slow;
    await new Promise(setImmediate);
    await new Promise(setImmediate);
    expect([pool.totalCount, pool.idleCount]).toEqual([1, 0]);
    expect((await slower).rows).toEqual(rows);
  });

  it('is kept when PostgreSQL refuses a statement, and so is what was sent behind it', async () => {
    const first = await backend();
    const [refused, next] = await Promise.allSettled([
      connection.query({ text: 'SELECT 1 / 0' }),
      connection.query<{ pid: number }>(BACKEND),
    ]);
    expect(refused).toMatchObject({ status: 'rejected', reason: { code: '22012' } });
    expect(next).toMatchObject({ status: 'fulfilled', value: { rows: [{ pid: first }] } });
    expect(pool.totalCount).toBe(1);
  });

  it('is replaced when it is lost, and all that was under way on it is rejected', async () => {
    const first = await backend();
    const underWay = [
      connection.query({ text: 'SELECT pg_sleep(60)' }),
      connection.query({ text: 'SELECT 1' }),
    ];
    const outcomes = Promise.allSettled(underWay);
    await database.query('SELECT pg_terminate_backend($1)', [first]);
    expect((await outcomes).map(({ status }) => status)).toEqual(['rejected', 'rejected']);
    const second = await backend();
    expect(second).not.toBe(first);
    expect(pool.totalCount).toBe(1);
  });
});
