import type { TestDatabase } from './database.js';

/**
 * A clock for one database that a test can move: its own `now()` and `clock_timestamp()` stand in the catalog in place of
 * PostgreSQL's, for every session and in every function, and count from the real time.
 */
export class DatabaseClock {
  private constructor(private readonly database: TestDatabase) {}

  /** Before the first session of the application. */
  static async over(database: TestDatabase): Promise<DatabaseClock> {
    await database.query(`
      SET allow_system_table_mods = on;
      CREATE SCHEMA moved_clock;
      CREATE TABLE moved_clock.distance (ahead interval NOT NULL);
      INSERT INTO moved_clock.distance VALUES ('0');
      CREATE FUNCTION moved_clock.ahead() RETURNS interval LANGUAGE plpgsql STABLE AS
        'BEGIN RETURN (SELECT ahead FROM moved_clock.distance); END';
      -- The executor knows its own functions by their numbers; these two take effect because the planner puts their bodies
      -- in place of the calls, which it does for plain expressions alone.
      CREATE OR REPLACE FUNCTION pg_catalog.now() RETURNS timestamptz LANGUAGE sql STABLE AS
        'SELECT transaction_timestamp() + moved_clock.ahead()';
      CREATE OR REPLACE FUNCTION pg_catalog.clock_timestamp() RETURNS timestamptz LANGUAGE sql VOLATILE AS
        'SELECT timeofday()::timestamptz + moved_clock.ahead()';
      GRANT USAGE ON SCHEMA moved_clock TO PUBLIC;
      GRANT SELECT ON moved_clock.distance TO PUBLIC;
      RESET allow_system_table_mods`);
    return new DatabaseClock(database);
  }

  /** Sets how far the clock is from the real time, such as `400 days` or `-1 hour`. */
  async set(ahead: string): Promise<void> {
    await this.database.query('UPDATE moved_clock.distance SET ahead = $1', [ahead]);
  }
}
