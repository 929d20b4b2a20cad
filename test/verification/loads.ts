import type { TestDatabase } from '../support/database.js';
import { withSession } from './sessions.js';

const GATE = 7_662;

/** Stands between the loader of keys and its table: counts its statements, and can hold one while it runs. */
export class Loads {
  private constructor(private readonly database: TestDatabase) {}

  /** From now on the service reads a view, and each look through it is noted. Nothing may write secrets afterwards. */
  static async watch(database: TestDatabase): Promise<Loads> {
    // A sequence counts at once, whatever becomes of the transaction.
    await database.query(`
      CREATE SEQUENCE loads;
      ALTER TABLE api_key_secrets RENAME TO stored_secrets;
      CREATE VIEW api_key_secrets AS SELECT secrets.*
        FROM (SELECT nextval('loads') AS place, pg_advisory_xact_lock_shared(${GATE}) OFFSET 0) AS noted,
          LATERAL (SELECT * FROM stored_secrets WHERE noted.place > 0 OFFSET 0) AS secrets`);
    return new Loads(database);
  }

  /** How many statements the work made. */
  async during(work: () => Promise<unknown>): Promise<number> {
    const before = await this.#count();
    await work();
    return (await this.#count()) - before;
  }

  /**
   * Does `work` while the load that `begin` makes has looked at the tables and not answered yet. The service gives a
   * load up after a quarter of a second: the work has to be quick.
   */
  async whileHeld(begin: () => Promise<unknown>, work: () => Promise<unknown>): Promise<void> {
    await withSession(this.database, async (session) => {
      await session.query(`SELECT pg_advisory_lock(${GATE})`);
      const begun = begin();
      for (let isWaiting = false; !isWaiting;) {
        const { rowCount } = await session.query(
          `SELECT FROM pg_locks WHERE locktype = 'advisory' AND objid = ${GATE} AND NOT granted`,
        );
        isWaiting = rowCount !== 0;
      }
      await work();
      await session.query(`SELECT pg_advisory_unlock(${GATE})`);
      await begun;
    });
  }

  async #count(): Promise<number> {
    const [row] = await this.database.query<{ count: number }>(
      'SELECT CASE WHEN is_called THEN last_value ELSE 0 END::int AS count FROM loads',
    );
    return row!.count;
  }
}
