import pg from 'pg';

/** Statements that are worth having under way on one connection: one runs, and the next is there when it is done. */
export const STATEMENTS_PER_CONNECTION = 2;

/** Statements that never pause would hold a connection for ever: after so long the next one fetches another. */
const LONGEST_HELD_MS = 60_000;

/**
 * A connection of a pool for statements that follow one another, or wait one behind the other where the pool's clients
 * pipeline; it goes back when none has followed by the next turn of the event loop. A pool hands connections out on the
 * next tick, after everything that is already promised; here a statement is on its way when `query` returns, unless a
 * connection has to be fetched first.
 */
export class PinnedConnection {
  #held: Held | undefined;
  #fetching: Promise<Held> | undefined;

  constructor(private readonly pool: pg.Pool) {}

  /** A connection that failed is not used again; one on which PostgreSQL refused a statement is. */
  async query<Row extends pg.QueryResultRow>(query: pg.QueryConfig): Promise<pg.QueryResult<Row>> {
    let held = this.#held;
    if (held === undefined || performance.now() - held.since > LONGEST_HELD_MS) held = await this.#fetch();
    held.running += 1;
    try {
      return await held.client.query<Row>(query);
    } catch (error) {
      if (!isRefusal(error)) this.#giveBack(held, true);
      throw error;
    } finally {
      held.running -= 1;
      setImmediate(() => {
        if (held.running === 0) this.#giveBack(held, false);
      });
    }
  }

  async #fetch(): Promise<Held> {
    this.#fetching ??= this.pool
      .connect()
      .then((client) => (this.#held = { client, since: performance.now(), running: 0, isReleased: false }))
      .finally(() => (this.#fetching = undefined));
    return this.#fetching;
  }

  #giveBack(held: Held, isBroken: boolean): void {
    if (held === this.#held) this.#held = undefined;
    if (held.isReleased) return;
    held.isReleased = true;
    held.client.release(isBroken);
  }
}

/** A connection, and how many statements run on it. */
interface Held {
  readonly client: pg.PoolClient;
  readonly since: number;
  running: number;
  isReleased: boolean;
}

function isRefusal(error: unknown): boolean {
  return error instanceof pg.DatabaseError && error.severity === 'ERROR';
}
