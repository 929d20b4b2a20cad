import { setTimeout as sleep } from 'node:timers/promises';
import type { QueryRunner } from 'typeorm';

/** SQLSTATE lock_not_available and deadlock_detected. */
const BUSY: readonly unknown[] = ['55P03', '40P01'];
const MOST_ATTEMPTS = 240;
const PAUSE_MS = 500;
/**
 * Far less than the second after which a statement that waits looks for a deadlock: it would be the one that is ended. So
 * this transaction, which holds other locks by then, gives up first.
 */
const LOCK_TIMEOUT_MS = 500;

/**
 * Runs statements that lock whole tables, in one transaction. It soon gives up without a lock and tries again, since all later
 * queries on a table wait behind a statement that waits for its lock.
 */
export async function withShortLocks(runner: QueryRunner, text: string): Promise<void> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      await runner.query(`BEGIN; SET LOCAL lock_timeout = ${LOCK_TIMEOUT_MS}; ${text}; COMMIT`);
      return;
    } catch (error) {
      await runner.query('ROLLBACK');
      const isBusy = error instanceof Error && 'code' in error && BUSY.includes(error.code);
      if (!isBusy || attempt === MOST_ATTEMPTS) throw error;
      await sleep(PAUSE_MS);
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
