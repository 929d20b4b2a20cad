import { Injectable } from '@nestjs/common';
import type { QueryConfig, QueryResultRow } from 'pg';
import { NamedQueues } from '../common/named-queues.js';
import { ReportPool } from './pools.js';

/** However much one caller reads, others find connections, and cores of the database. */
const STATEMENTS_PER_CALLER = 1;

/**
 * Runs statements that may read much, such as sums, searches and pages of the audit log, on connections of their own, so
 * that they delay no other requests.
 */
@Injectable()
export class ReportQueries {
  readonly #queues = new NamedQueues<number>(STATEMENTS_PER_CALLER);

  constructor(private readonly pool: ReportPool) {}

  /** The rows of a statement for the user who calls. */
  query<Row extends QueryResultRow>(callerId: number, statement: QueryConfig): Promise<Row[]> {
    return this.#queues.run(callerId, async () => (await this.pool.query<Row>(statement)).rows);
  }
}
