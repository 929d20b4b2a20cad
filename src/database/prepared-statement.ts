import type { PoolClient, QueryResultRow } from 'pg';
import type { EntityManager } from 'typeorm';

/** A statement that a connection parses and plans once. The name belongs to this text alone. */
export interface PreparedStatement {
  readonly name: string;
  readonly text: string;
}

/**
 * Runs a statement, prepared, as part of the transaction that `manager` has open. TypeORM prepares none: building,
 * parsing and planning them anew would be most of what a change costs.
 */
export async function runPrepared<Row extends QueryResultRow>(
  manager: EntityManager,
  statement: PreparedStatement,
  values: unknown[],
): Promise<Row[]> {
  if (manager.queryRunner === undefined) throw new Error(`${statement.name} runs in a transaction only.`);
  const client = (await manager.queryRunner.connect()) as PoolClient;
  const { rows } = await client.query<Row>({ ...statement, values });
  return rows;
}
