import pg from 'pg';
import type { TestDatabase } from './database.js';

/** Tables that the test keeps from being written: writers wait, readers do not. */
export class LockedTables {
  private constructor(
    private readonly database: TestDatabase,
    private readonly client: pg.Client,
  ) {}

  static async lock(database: TestDatabase, tables: readonly string[]): Promise<LockedTables> {
    const client = new pg.Client({ connectionString: database.url });
    await client.connect();
    await client.query('BEGIN');
    if (tables.length > 0) await client.query(`LOCK TABLE ${tables.join(', ')} IN EXCLUSIVE MODE`);
    return new LockedTables(database, client);
  }

  /** Resolves when so many wait for the tables, or `isOver` says that nobody will. */
  async untilAwaited(count: number, isOver: () => boolean): Promise<void> {
    while (!isOver()) {
      const [row] = await this.database.query<{ waiting: number }>(
        `SELECT count(*)::int AS waiting FROM pg_stat_activity
         WHERE datname = current_database() AND wait_event_type = 'Lock'`,
      );
      if ((row?.waiting ?? 0) >= count) return;
    }
  }

  /** A statement of the one who holds the tables; it takes effect at the moment of the release. */
  async query<Row extends pg.QueryResultRow>(text: string, values?: unknown[]): Promise<Row[]> {
    return (await this.client.query<Row>(text, values)).rows;
  }

  async release(): Promise<void> {
    await this.client.query('COMMIT');
    await this.client.end();
  }
}
