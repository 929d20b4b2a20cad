import type pg from 'pg';

/**
 * A connection of a pool for statements that follow one another: it goes back when none has followed by the next turn of
 * the event loop. A pool hands connections out on the next tick, which comes after everything that is already promised;
 * here a statement is on its way when `query` returns, unless a connection has to be fetched first.
 */
export class HeldConnection {
  #client: pg.PoolClient | undefined;
  #fetching: Promise<pg.PoolClient> | undefined;
  #running = 0;

  constructor(private readonly pool: pg.Pool) {}

  /** As `pool.query` does; a connection on which a statement failed is not used again. */
  async query<Row extends pg.QueryResultRow>(query: pg.QueryConfig): Promise<pg.QueryResult<Row>> {
    this.#running += 1;
    let client = this.#client;
    try {
      client ??= await this.#fetch();
      return await client.query<Row>(query);
    } catch (error) {
      if (client !== undefined) this.#giveBack(client, true);
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
