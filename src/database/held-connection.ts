import pg from 'pg';

/** Statements that are worth having under way on one connection: one runs, and the next is there when it is done. */
export const STATEMENTS_PER_CONNECTION = 2;

/**
 * A connection of a pool for statements that follow one another, or wait one behind the other where the pool's clients
 * pipeline; it goes back when none has followed by the next turn of the event loop. A pool hands connections out on the
 * next tick, after everything that is already promised; here a statement is on its way when `query` returns, unless a
 * connection has to be fetched first.
 */
export class HeldConnection {
  #client: pg.PoolClient | undefined;
  #fetching: Promise<pg.PoolClient> | undefined;
  #running = 0;

  constructor(private readonly pool: pg.Pool) {}

  /** A connection that failed is not used again; one on which PostgreSQL refused a statement is. */
  async query<Row extends pg.QueryResultRow>(query: pg.QueryConfig): Promise<pg.QueryResult<Row>> {
    this.#running += 1;
    let client = this.#client;
    try {
      client ??= await this.#fetch();
      return await client.query<Row>(query);
    } catch (error) {
      if (client !== undefined && !isRefusal(error)) this.#giveBack(client, true);
      throw error;
    } finally {
      this.#running -= 1;
      setImmediate(() => {
        if (this.#running === 0 && this.#client !== undefined) this.#giveBack(this.#client, false);
      });
    }
  }

  async #fetch(): Promise<pg.PoolClient> {
    this.#fetching ??= this.pool.connect().finally(() => (this.#fetching = undefined));
    return (this.#client = await this.#fetching);
  }

  #giveBack(client: pg.PoolClient, isBroken: boolean): void {
    if (client !== this.#client) return;
    this.#client = undefined;
    client.release(isBroken);
  }
}

function isRefusal(error: unknown): boolean {
  return error instanceof pg.DatabaseError && error.severity === 'ERROR';
}
