import type pg from 'pg';
import { SessionClient } from './session-client.js';

type AnyQuery = (...arguments_: unknown[]) => unknown;

/**
 * A client that closes its connection when the server did not answer in time. TypeORM gives such a client
 * back to the pool, where every later query would wait behind the hung one.
 */
export class ClosingClient extends SessionClient {
  constructor(config?: string | pg.ClientConfig) {
    super(config);
    const query = this.query.bind(this) as AnyQuery;
    this.query = ((...parameters: unknown[]) => {
      const pending = query(...parameters);
      if (pending instanceof Promise) pending.catch((error: unknown) => this.#closeIfHung(error));
      return pending;
    }) as typeof this.query;
  }

  #closeIfHung(error: unknown): void {
    if (error instanceof Error && error.message === 'Query read timeout') this.close();
  }
}
