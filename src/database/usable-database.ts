import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { StartFailure } from '../common/start-failure.js';
import { longRunningClientOptions } from './connection-options.js';
import { type DatabaseAddress, databaseAddress } from './database-address.js';
import { DatabaseServer } from './database-server.js';
import { READ_ONLY_SQLSTATE } from './not-primary-error.js';
import { SessionClient, type SessionConfig } from './session-client.js';

/** Which variable holds a connection URL, for the sentences of failures. */
export interface NamedUrl {
  readonly variable: 'DATABASE_URL' | 'DATABASE_MIGRATION_URL';
  readonly url: string;
}

/** What a start reads from a server; `identity` is the same for two URLs of one database. */
export interface UsableDatabase {
  readonly address: DatabaseAddress;
  readonly version: string;
  readonly identity: string;
  /** The role that connects may do anything. */
  readonly isSuperuser: boolean;
}

interface ServerRow {
  readonly version: string;
  readonly version_number: number;
  readonly identity: string;
  readonly is_superuser: boolean;
}

const OLDEST_VERSION = 15;
const CONNECT_MS = 5_000;
const RETRY_MS = 250;

/** A server that is not there yet: its socket refuses, its name is not known yet, it starts, or it is full. */
const NOT_THERE_YET =
  /^(ECONNREFUSED|ECONNRESET|ETIMEDOUT|EHOSTUNREACH|ENETUNREACH|ENOTFOUND|EAI_AGAIN|ENOENT|57P0[123]|53300|08\d{3})$/;
const BROKEN_OFF = /timeout|terminated unexpectedly/i;

/**
 * Waits until the database can be used, and checks that it is one that the service can work with.
 * `report` gets a line when waiting begins.
 * @throws StartFailure after `timeoutSeconds`, or at once when waiting would not help
 */
export async function waitForDatabase(
  named: NamedUrl,
  timeoutSeconds: number,
  report: (line: string) => void,
): Promise<UsableDatabase> {
  const address = databaseAddress(named.url);
  const deadline = performance.now() + timeoutSeconds * 1000;
  for (let isFirst = true; ; isFirst = false) {
    try {
      return await inspect(named, address);
    } catch (error) {
      if (error instanceof StartFailure) throw error;
      if (!isNotThereYet(error) || performance.now() >= deadline)
        throw failureOf(error, named, address, timeoutSeconds);
      if (isFirst)
        report(
          `Waiting for PostgreSQL at ${nameOf(address)}: ${reasonOf(error)} (at most ${timeoutSeconds} s).`,
        );
      await sleep(RETRY_MS);
    }
  }
}

/** @throws StartFailure when the two URLs are not of one database */
export function requireSameDatabase(service: UsableDatabase, migration: UsableDatabase): void {
  if (service.identity === migration.identity) return;
  throw new StartFailure(
    `DATABASE_MIGRATION_URL names another database (${nameOf(migration.address)}) than DATABASE_URL ` +
      `(${nameOf(service.address)}). Both must name the same one, with different roles.`,
  );
}

async function inspect({ variable, url }: NamedUrl, address: DatabaseAddress): Promise<UsableDatabase> {
  const client = openClient(new DatabaseServer(url));
  try {
    await client.connect();
    const { rows } = await client.query<ServerRow>(`
      SELECT current_setting('server_version') AS version,
        current_setting('server_version_num')::integer AS version_number,
        current_database() || ' since ' || extract(epoch FROM pg_postmaster_start_time()) AS identity,
        current_setting('is_superuser')::boolean AS is_superuser`);
    const [row] = rows;
    if (row === undefined) throw new Error('PostgreSQL returned no row.');
    if (row.version_number < OLDEST_VERSION * 10_000)
      throw new StartFailure(
        `PostgreSQL ${row.version} at ${nameOf(address)} (${variable}) is too old: ${OLDEST_VERSION} or newer is needed. Upgrade it, or name another server.`,
      );
    const { version, identity, is_superuser: isSuperuser } = row;
    return { address, version, identity, isSuperuser };
  } finally {
    await client.end().catch(() => undefined);
  }
}

/**
 * Checks that the role may create and change the schema.
 * @throws StartFailure naming the right that is missing, or the role that owns the tables
 */
export async function requireSchemaRights(named: NamedUrl, schema: string): Promise<void> {
  const { variable, url } = named;
  const address = databaseAddress(url);
  const client = openClient(new DatabaseServer(url, schema));
  try {
    await client.connect();
    const { rows } = await client.query<{
      owner: string | null;
      owns: boolean;
      exists: boolean;
      creates: boolean;
      extends: boolean;
    }>(
      `
      SELECT owner.rolname AS owner, coalesce(pg_has_role(owner.oid, 'USAGE'), true) AS owns,
        EXISTS (SELECT FROM pg_namespace WHERE nspname = $1) AS exists,
        coalesce((SELECT has_schema_privilege(oid, 'CREATE') FROM pg_namespace WHERE nspname = $1),
          has_database_privilege(current_database(), 'CREATE')) AS creates,
        has_database_privilege(current_database(), 'CREATE')
          OR EXISTS (SELECT FROM pg_extension WHERE extname = 'pg_trgm') AS extends
      FROM (SELECT to_regclass('schema_migrations') AS oid) AS wanted
      LEFT JOIN pg_class ON pg_class.oid = wanted.oid LEFT JOIN pg_roles AS owner ON owner.oid = relowner`,
      [schema],
    );
    const [rights] = rows;
    const role = pg.escapeIdentifier(address.user);
    const as = `${variable} connects to ${nameOf(address)} as ${address.user}`;
    if (rights?.owner != null && !rights.owns)
      throw new StartFailure(
        `${as}, but the tables belong to ${rights.owner}. Connect as ${rights.owner}, or set DATABASE_MIGRATION_URL to do so.`,
      );
    if (rights?.creates !== true)
      throw new StartFailure(
        rights?.exists === false
          ? `${as}, which may not create the schema ${schema}. Run: CREATE SCHEMA ${pg.escapeIdentifier(schema)} AUTHORIZATION ${role};`
          : `${as}, which may not create tables. Run: GRANT CREATE ON SCHEMA ${pg.escapeIdentifier(schema)} TO ${role};`,
      );
    if (!rights.extends)
      throw new StartFailure(
        `${as}, which may not create the extension pg_trgm. Run as a superuser in that database: CREATE EXTENSION pg_trgm;`,
      );
  } catch (error) {
    throw error instanceof StartFailure ? error : failureOf(error, named, address, 0);
  } finally {
    await client.end().catch(() => undefined);
  }
}

/**
 * A warning when the role of the service may create temporary tables: one could take the place of a table that a statement
 * names. The right usually comes from PUBLIC, and only the owner of the database can revoke that.
 */
export async function temporaryTablesWarning({ variable, url }: NamedUrl): Promise<string | undefined> {
  const { database, user } = databaseAddress(url);
  const client = openClient(new DatabaseServer(url));
  try {
    await client.connect();
    const { rows } = await client.query<{ allowed: boolean }>(
      `SELECT has_database_privilege(current_database(), 'TEMPORARY') AS allowed`,
    );
    if (rows[0]?.allowed !== true) return undefined;
  } finally {
    await client.end().catch(() => undefined);
  }
  return (
    `The role ${user} of ${variable} may create temporary tables, which it does not need. Run as the owner of the database: ` +
    `REVOKE TEMPORARY ON DATABASE ${pg.escapeIdentifier(database)} FROM PUBLIC, ${pg.escapeIdentifier(user)};`
  );
}

function openClient(server: DatabaseServer): SessionClient {
  return new SessionClient({
    ...longRunningClientOptions(server),
    connectionTimeoutMillis: CONNECT_MS,
    query_timeout: CONNECT_MS,
  } satisfies SessionConfig);
}

/** A failure to reach or to use a database, in a sentence with what to do. */
function failureOf(
  error: unknown,
  { variable }: NamedUrl,
  address: DatabaseAddress,
  timeoutSeconds: number,
): StartFailure {
  const { database, user } = address;
  const server = nameOf(address);
  const code = codeOf(error);
  const failure = (text: string) => new StartFailure(text, { cause: error });
  if (isNotThereYet(error))
    return failure(
      code === 'ENOTFOUND' || code === 'EAI_AGAIN'
        ? `The host of ${variable} is unknown: ${server}. Check its name; it was tried for ${timeoutSeconds} s.`
        : `PostgreSQL does not answer at ${server} (${variable}): ${reasonOf(error)}. Start it, or correct the host and port; it was tried for ${timeoutSeconds} s.`,
    );
  if (code === READ_ONLY_SQLSTATE)
    return failure(
      `PostgreSQL at ${server} takes no changes (${variable}): it is a standby, or read-only. Name the primary, or promote it.`,
    );
  if (code === '28P01' || code === '28000')
    return failure(
      `PostgreSQL at ${server} does not let ${user} in (${variable}): the role or its password is wrong, or pg_hba.conf refuses it.`,
    );
  if (code === '3D000')
    return failure(
      `PostgreSQL at ${address.server} has no database ${database} (${variable}). Create it: CREATE DATABASE ${pg.escapeIdentifier(database)};`,
    );
  if (code === '42501')
    return failure(
      `PostgreSQL at ${address.server} does not let ${user} connect to ${database} (${variable}). Run: GRANT CONNECT ON DATABASE ${pg.escapeIdentifier(database)} TO ${pg.escapeIdentifier(user)};`,
    );
  return failure(
    `PostgreSQL at ${server} cannot be used (${variable}): ${reasonOf(error)}. Correct what it says; the log of PostgreSQL may say more.`,
  );
}

function isNotThereYet(error: unknown): boolean {
  return (
    NOT_THERE_YET.test(codeOf(error) ?? '') || (error instanceof Error && BROKEN_OFF.test(error.message))
  );
}

/** Several addresses of one name fail together, as an AggregateError whose own message is empty. */
function reasonOf(error: unknown): string {
  if (error instanceof AggregateError) return reasonOf(error.errors[0]);
  return error instanceof Error ? error.message.replace(/\.$/, '') : String(error);
}

function codeOf(error: unknown): string | undefined {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : undefined;
}

function nameOf({ server, database }: DatabaseAddress): string {
  return `${server}/${database}`;
}
