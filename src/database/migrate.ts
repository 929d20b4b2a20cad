import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { DataSource } from 'typeorm';
import { unhurriedOptions } from './connection-options.js';
import { grantToServiceRole } from './grants.js';
import { applySqlFunctions } from './sql-functions.js';

/** Any number will do, so long as every instance uses the same. */
const MIGRATION_LOCK = 7_221_986_001;
const POLL_MS = 100;

/**
 * Brings the schema and its functions up to date; returns the names of the migrations that ran. Of several instances that start
 * together one migrates while the others wait. The lock is polled: a session blocked in `pg_advisory_lock` would
 * hold a snapshot that statements such as CREATE INDEX CONCURRENTLY wait for.
 *
 * @param migrationUrl the role that owns the schema
 * @param serviceUrl the role the service runs as; when it is another one, it is granted what it needs
 */
export async function migrate(migrationUrl: string, serviceUrl: string = migrationUrl): Promise<string[]> {
  const lockHolder = new pg.Client({ connectionString: migrationUrl, connectionTimeoutMillis: 10_000 });
  await lockHolder.connect();
  try {
    while (!(await tryLock(lockHolder))) await sleep(POLL_MS);
    return await runMigrations(migrationUrl, serviceUrl);
  } finally {
    await lockHolder.end();
  }
}

async function tryLock(client: pg.Client): Promise<boolean> {
  const { rows } = await client.query<{ locked: boolean }>('SELECT pg_try_advisory_lock($1) AS locked', [
    MIGRATION_LOCK,
  ]);
  return rows[0]?.locked === true;
}

async function runMigrations(migrationUrl: string, serviceUrl: string): Promise<string[]> {
  const dataSource = await new DataSource(unhurriedOptions(migrationUrl)).initialize();
  try {
    const done = await dataSource.runMigrations();
    await applySqlFunctions(dataSource);
    if (serviceUrl !== migrationUrl) await grantToServiceRole(dataSource, serviceUrl);
    return done.map((migration) => migration.name);
  } finally {
    await dataSource.destroy();
  }
}
