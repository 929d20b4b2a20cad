import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { AbstractLogger, DataSource } from 'typeorm';
import { StartFailure } from '../common/start-failure.js';
import { longRunningClientOptions, longRunningOptions } from './connection-options.js';
import { DatabaseServer } from './database-server.js';
import { grantToServiceRole } from './grants.js';
import { NotPrimaryError } from './not-primary-error.js';
import { requireSessions } from './pooling-mode.js';
import { knownMigrations } from './schema-state.service.js';
import { SessionClient } from './session-client.js';
import { applySqlFunctions } from './sql-functions.js';

/** Any number will do, so long as every instance uses the same. */
const MIGRATION_LOCK = 7_221_986_001;
const POLL_MS = 100;

/** TypeORM prints a line of its own when a migration fails, beside the log and what a failed start says. */
class SilentLogger extends AbstractLogger {
  protected override writeLog(): void {}
}

/**
 * Brings the schema and its functions up to date; returns the names of the migrations that ran. Of several instances
 * that start together one migrates while the others wait. The lock is polled: a session blocked in `pg_advisory_lock`
 * would hold a snapshot that statements such as CREATE INDEX CONCURRENTLY wait for.
 *
 * A version that is older than the schema changes nothing in it: functions of the newer version serve both.
 *
 * @param migrationUrl the role that owns the schema
 * @param serviceUrl the role the service runs as; when it is another one, it is granted what it needs
 * @param schema of our tables and functions
 * @throws StartFailure when the database is one that this version cannot work on
 */
export async function migrate(
  migrationUrl: string,
  serviceUrl: string = migrationUrl,
  schema: string = 'public',
): Promise<string[]> {
  try {
    const service = new DatabaseServer(serviceUrl, schema);
    await requireSessions(service, 'DATABASE_URL');
    if (serviceUrl !== migrationUrl)
      await requireSessions(new DatabaseServer(migrationUrl, schema), 'DATABASE_MIGRATION_URL');
    const owner = await ownerServer(migrationUrl, schema);
    return await underLock(owner, () => runMigrations(owner, service));
  } catch (error) {
    if (!(error instanceof NotPrimaryError)) throw error;
    throw new StartFailure(`${error.message} Name the primary in DATABASE_URL, or promote this one.`, {
      cause: error,
    });
  }
}

/**
 * The server for the owner of the schema. Migrations name operators of pg_trgm, which may have been installed in a schema of
 * its own.
 */
export async function ownerServer(url: string, schema: string): Promise<DatabaseServer> {
  const client = new SessionClient(longRunningClientOptions(new DatabaseServer(url, schema)));
  try {
    await client.connect();
    if (schema !== 'public') await ensureSchema(client, schema);
    const { rows } = await client.query<{ name: string }>(
      `SELECT nspname AS name FROM pg_extension JOIN pg_namespace ON pg_namespace.oid = extnamespace
       WHERE extname = 'pg_trgm' AND nspname <> $1`,
      [schema],
    );
    return new DatabaseServer(
      url,
      schema,
      rows.map(({ name }) => name),
    );
  } finally {
    await client.end();
  }
}

/** IF NOT EXISTS requires the right to create even when the object exists. */
async function ensureSchema(client: SessionClient, schema: string): Promise<void> {
  const { rowCount } = await client.query('SELECT FROM pg_namespace WHERE nspname = $1', [schema]);
  if (rowCount === 0) await client.query(`CREATE SCHEMA IF NOT EXISTS ${pg.escapeIdentifier(schema)}`);
}

async function underLock<Result>(owner: DatabaseServer, work: () => Promise<Result>): Promise<Result> {
  const lockHolder = new SessionClient(longRunningClientOptions(owner));
  await lockHolder.connect();
  try {
    while (!(await tryLock(lockHolder))) await sleep(POLL_MS);
    return await work();
  } finally {
    await lockHolder.end();
  }
}

async function tryLock(client: SessionClient): Promise<boolean> {
  const { rows } = await client.query<{ locked: boolean }>('SELECT pg_try_advisory_lock($1) AS locked', [
    MIGRATION_LOCK,
  ]);
  return rows[0]?.locked === true;
}

async function runMigrations(owner: DatabaseServer, service: DatabaseServer): Promise<string[]> {
  const dataSource = await new DataSource({
    ...longRunningOptions(owner),
    logger: new SilentLogger(),
  }).initialize();
  try {
    const done = await dataSource.runMigrations();
    const isNewer = await hasUnknown(dataSource, 'SELECT name FROM schema_migrations');
    if (isNewer && (await hasUnknown(dataSource, 'SELECT migration AS name FROM schema_requirements'))) {
      throw new StartFailure(
        'The schema of the database was made by a newer version of Latchkey, and this one cannot work on it: start the ' +
          'newer version, or restore a backup from before its first start.',
      );
    }
    if (!isNewer) await applySqlFunctions(dataSource);
    await grantToServiceRole(dataSource, service);
    return done.map((migration) => migration.name);
  } finally {
    await dataSource.destroy();
  }
}

async function hasUnknown(dataSource: DataSource, statement: string): Promise<boolean> {
  const known = knownMigrations();
  return (await dataSource.query<{ name: string }[]>(statement)).some(({ name }) => !known.has(name));
}
