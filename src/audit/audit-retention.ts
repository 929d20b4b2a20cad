import pg from 'pg';

/**
 * Notes for how many whole months the audit log is kept besides the one that runs; undefined for ever. Done as the owner of the
 * schema, at the start: the service's own role cannot choose what is dropped.
 */
export async function setAuditRetention(ownerUrl: string, months: number | undefined): Promise<void> {
  const client = new pg.Client({ connectionString: ownerUrl, connectionTimeoutMillis: 10_000 });
  await client.connect();
  try {
    await client.query('UPDATE audit_retention SET months = $1 WHERE months IS DISTINCT FROM $1', [
      months ?? null,
    ]);
  } finally {
    await client.end();
  }
}
