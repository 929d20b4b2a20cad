import pg from 'pg';
import type { TestDatabase } from './database.js';

/** A row that is locked by the test, so that the order of those who wait for it is the test's. */
export class LockedRow {
  private constructor(
    private readonly database: TestDatabase,
    private readonly client: pg.Client,
  ) {}

  static async lock(database: TestDatabase, table: 'api_keys' | 'users', id: number): Promise<LockedRow> {
    const client = new pg.Client({ connectionString: database.url });
    await client.connect();
    await client.query('BEGIN');
    await client.query(`SELECT FROM ${table} WHERE id = $1 FOR UPDATE`, [id]);
    return new LockedRow(database, client);
  }

  /** Resolves when so many wait in line for a lock in this database. */
  async untilWaiting(count: number): Promise<void> {
    await untilWaiting(this.database, count);
  }

  async release(): Promise<void> {
    await this.client.query('COMMIT');
    await this.client.end();
  }
}

/** Resolves when so many sessions of a database wait for a lock. */
export async function untilWaiting(database: TestDatabase, count: number): Promise<void> {
  for (;;) {
    const [row] = await database.query<{ waiting: number }>(
      `SELECT count(*)::int AS waiting FROM pg_stat_activity
       WHERE datname = current_database() AND wait_event_type = 'Lock'`,
    );
    if ((row?.waiting ?? 0) >= count) return;
  }
}
