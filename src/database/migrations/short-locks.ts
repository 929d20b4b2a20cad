import { setTimeout as sleep } from 'node:timers/promises';
import type { QueryRunner } from 'typeorm';

const LOCK_NOT_AVAILABLE = '55P03';
const MOST_ATTEMPTS = 120;

/**
 * Runs statements that lock whole tables, in one transaction. It gives up after a second without the lock and tries again, since
 * all later queries on a table wait behind a statement that waits for its lock.
 */
export async function withShortLocks(runner: QueryRunner, text: string): Promise<void> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      await runner.query(`BEGIN; SET LOCAL lock_timeout = '1s'; ${text}; COMMIT`);
      return;
    } catch (error) {
      await runner.query('ROLLBACK');
      const isLocked = error instanceof Error && 'code' in error && error.code === LOCK_NOT_AVAILABLE;
      if (!isLocked || attempt === MOST_ATTEMPTS) throw error;
      await sleep(1_000);
    }
  }
}

/** The names of the partitions of a table, in their order. */
export async function partitionsOf(runner: QueryRunner, table: string): Promise<string[]> {
  const partitions = await runner.manager.query<{ name: string }[]>(
    `SELECT inhrelid::regclass::text AS name FROM pg_inherits WHERE inhparent = '${table}'::regclass ORDER BY 1`,
  );
  return partitions.map(({ name }) => name);
}
