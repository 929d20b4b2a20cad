import { longRunningClientOptions } from '../database/connection-options.js';
import { DatabaseServer } from '../database/database-server.js';
import { SessionClient } from '../database/session-client.js';

/**
 * Stores for how many whole months the audit log is kept besides the current one; undefined for ever. Done as the owner of
 * the schema, at the start: the service's own role cannot choose what is dropped.
 */
export async function setAuditRetention(
  ownerUrl: string,
  months: number | undefined,
  schema: string = 'public',
): Promise<void> {
  const client = new SessionClient(longRunningClientOptions(new DatabaseServer(ownerUrl, schema)));
  await client.connect();
  try {
    await client.query('UPDATE audit_retention SET months = $1 WHERE months IS DISTINCT FROM $1', [
      months ?? null,
    ]);
  } finally {
    await client.end();
  }
}
