import pg, { type PoolConfig } from 'pg';
import type { DataSourceOptions } from 'typeorm';
import type { DatabaseServer } from './database-server.js';
import { ClosingClient } from './closing-client.js';
import { MigrationClient } from './migration-client.js';
import { MIGRATIONS } from './migrations/index.js';
import { SessionClient, type SessionConfig, type SessionSettings } from './session-client.js';

/** Bounds of a statement on the control plane, in milliseconds. */
const CONTROL_PLANE = { connectMs: 2_000, statementMs: 2_000, lockMs: 1_000, idleInTransactionMs: 10_000 };
/** The client gives up after the server should have: only a hung connection gets this far. */
const CLIENT_GRACE_MS = 500;

/** PostgreSQL's number for its type bigint. */
const INT8_OID = 20;

/**
 * Reads bigint as a number, which is what ids and counts are here. Money can pass 2^53: a statement that answers
 * it casts it to text, and one that forgets fails instead of rounding.
 */
type TypeParser = (text: string) => unknown;

const EXACT_TYPES: pg.CustomTypesConfig = {
  getTypeParser: (oid: number, format?: 'text' | 'binary'): TypeParser =>
    oid === INT8_OID ? exactInteger : (pg.types.getTypeParser(oid, format ?? 'text') as TypeParser),
};

function exactInteger(text: string): number {
  const value = Number(text);
  if (!Number.isSafeInteger(value))
    throw new RangeError('A bigint does not fit a number; cast it to text in the statement.');
  return value;
}

/**
 * The longest life of a connection, in seconds: when an address is moved to another server and the old one keeps
 * responding, only a new connection notices. The feed's is the first to notice.
 */
export const LONGEST_LIFE_SECONDS = 600;
const LONGEST_FEED_LIFE_SECONDS = 30;

const NO_BOUND: SessionSettings = { statementMs: 0, lockMs: 0, idleInTransactionMs: 0 };

/** Options of the control plane's connections: short timeouts everywhere, so that nobody waits for ever. */
export function controlPlaneOptions(server: DatabaseServer, poolSize: number): DataSourceOptions {
  return {
    type: 'postgres',
    url: server.connectionString,
    applicationName: 'latchkey',
    poolSize,
    connectTimeoutMS: CONTROL_PLANE.connectMs,
    migrations: MIGRATIONS,
    migrationsTableName: 'schema_migrations',
    extra: {
      ...sessionOptions(server, {
        statementMs: CONTROL_PLANE.statementMs,
        lockMs: CONTROL_PLANE.lockMs,
        idleInTransactionMs: CONTROL_PLANE.idleInTransactionMs,
      }),
      Client: ClosingClient,
      query_timeout: CONTROL_PLANE.statementMs + CLIENT_GRACE_MS,
    },
  };
}

/** Options for work that nobody waits on and that may take long: migrations and the command line. */
export function longRunningOptions(server: DatabaseServer): DataSourceOptions {
  const { types: _exact, ...options } = sessionOptions(server, NO_BOUND);
  return {
    type: 'postgres',
    url: server.connectionString,
    applicationName: 'latchkey-migrations',
    poolSize: 2,
    connectTimeoutMS: 10_000,
    migrations: MIGRATIONS,
    migrationsTableName: 'schema_migrations',
    migrationsTransactionMode: 'each',
    extra: { ...options, Client: MigrationClient },
  };
}

/** Options of a single connection for such work. */
export function longRunningClientOptions(server: DatabaseServer): SessionConfig {
  return {
    connectionString: server.connectionString,
    application_name: 'latchkey-migrations',
    connectionTimeoutMillis: 10_000,
    server,
    session: NO_BOUND,
  };
}

/** Options of the connections that read a caller's authority again before a commit; each is needed for one short read. */
export function authorityPoolOptions(server: DatabaseServer): PoolConfig {
  return {
    ...sessionOptions(server, { statementMs: CONTROL_PLANE.statementMs, lockMs: 0, idleInTransactionMs: 0 }),
    Client: ClosingClient,
    application_name: 'latchkey-authority',
    max: 2,
    connectionTimeoutMillis: CONTROL_PLANE.connectMs,
    query_timeout: CONTROL_PLANE.statementMs + CLIENT_GRACE_MS,
  };
}

/** Options of the data plane: when the database is unavailable, the request fails within moments. */
export function dataPlanePoolOptions(server: DatabaseServer): PoolConfig {
  return { ...failFastOptions(server), application_name: 'latchkey-data-plane', max: 4 };
}

/** Options of metering: few connections, each of them busy with groups, sent one behind the other. */
export function meteringPoolOptions(server: DatabaseServer): PoolConfig {
  return {
    ...sessionOptions(server, { statementMs: 5_000, lockMs: 2_000, idleInTransactionMs: 0 }),
    application_name: 'latchkey-metering',
    // The next group is already sent when the database has finished one.
    pipeline: true,
    max: 4,
    connectionTimeoutMillis: 1_000,
    query_timeout: 5_500,
  };
}

/** Options of the change feed's reader. */
export function feedPoolOptions(server: DatabaseServer): PoolConfig {
  return {
    ...failFastOptions(server),
    application_name: 'latchkey-feed',
    max: 1,
    maxLifetimeSeconds: LONGEST_FEED_LIFE_SECONDS,
  };
}

/** Options of the connection that hears notifications; it may be idle for as long as nothing changes. */
export function listenerOptions(server: DatabaseServer): SessionConfig {
  return {
    connectionString: server.connectionString,
    application_name: 'latchkey-listener',
    connectionTimeoutMillis: 1_000,
    keepAlive: true,
    keepAliveInitialDelayMillis: 5_000,
    server,
    session: NO_BOUND,
  };
}

/**
 * Options of the report pool. Few connections: each may keep a core of the database busy. A caller waits for one as long as
 * a statement may take, since streams that are being sent need one again for each batch.
 */
export function reportPoolOptions(server: DatabaseServer): PoolConfig {
  return {
    ...backgroundPoolOptions(server),
    application_name: 'latchkey-reports',
    max: 4,
    connectionTimeoutMillis: 10_000,
  };
}

/** Options of the background pool: group commits of audited reads, and jobs. */
export function backgroundPoolOptions(server: DatabaseServer): PoolConfig {
  return {
    ...sessionOptions(server, { statementMs: 10_000, lockMs: 0, idleInTransactionMs: 0 }),
    application_name: 'latchkey-background',
    max: 3,
    connectionTimeoutMillis: 2_000,
    query_timeout: 10_500,
  };
}

function failFastOptions(server: DatabaseServer): PoolConfig {
  return {
    ...sessionOptions(server, { statementMs: 250, lockMs: 0, idleInTransactionMs: 0 }),
    connectionTimeoutMillis: 300,
    query_timeout: 250,
  };
}

/** What all pools have in common. */
function sessionOptions(server: DatabaseServer, session: SessionSettings): PoolConfig & SessionConfig {
  return {
    connectionString: server.connectionString,
    Client: SessionClient,
    types: EXACT_TYPES,
    keepAlive: true,
    maxLifetimeSeconds: LONGEST_LIFE_SECONDS,
    server,
    session,
  };
}
