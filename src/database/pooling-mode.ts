import { StartFailure } from '../common/start-failure.js';
import { longRunningClientOptions } from './connection-options.js';
import type { DatabaseServer } from './database-server.js';
import { SessionClient } from './session-client.js';

/**
 * Refuses a pooler that gives a connection another session for each transaction or statement, such as PgBouncer with
 * `pool_mode = transaction`: prepared statements, timeouts, notifications and locks belong to a session. In
 * such a mode two connections get the same session one after the other, or one loses its own to the other's transaction.
 *
 * @param variable the setting that holds the address, to be named
 * @throws StartFailure
 */
export async function requireSessions(server: DatabaseServer, variable: string): Promise<void> {
  const first = new SessionClient(longRunningClientOptions(server));
  const second = new SessionClient(longRunningClientOptions(server));
  try {
    await first.connect();
    await second.connect();
    const [firstId, secondId] = [await sessionId(first), await sessionId(second)];
    if (firstId !== secondId) {
      await second.query('BEGIN');
      const areKept = (await sessionId(second)) === secondId && (await sessionId(first)) === firstId;
      await second.query('ROLLBACK');
      if (areKept) return;
    }
  } finally {
    await Promise.all([first.end(), second.end()]);
  }
  throw new StartFailure(
    `${variable} leads through a pooler that changes the session between transactions (PgBouncer: pool_mode = transaction ` +
      'or statement); set pool_mode = session for this database, or name the server itself.',
  );
}

async function sessionId(client: SessionClient): Promise<number> {
  const { rows } = await client.query<{ id: number }>('SELECT pg_backend_pid() AS id');
  return rows[0]?.id ?? 0;
}
