import pg, { type ClientConfig, type PoolConfig } from 'pg';
import type { DataSourceOptions } from 'typeorm';
import { EvictingClient } from './evicting-client.js';
import { MIGRATIONS } from './migrations/index.js';
import { SteadyClient } from './steady-client.js';

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

/** Options of the control plane's connections: short timeouts everywhere, so that nobody waits for ever. */
export function controlPlaneOptions(url: string, poolSize: number): DataSourceOptions {
  return {
    type: 'postgres',
    url,
    applicationName: 'latchkey',
    poolSize,
    connectTimeoutMS: CONTROL_PLANE.connectMs,
    migrations: MIGRATIONS,
    migrationsTableName: 'schema_migrations',
    extra: {
      Client: EvictingClient,
      types: EXACT_TYPES,
      statement_timeout: CONTROL_PLANE.statementMs,
      lock_timeout: CONTROL_PLANE.lockMs,
      idle_in_transaction_session_timeout: CONTROL_PLANE.idleInTransactionMs,
      query_timeout: CONTROL_PLANE.statementMs + CLIENT_GRACE_MS,
      keepAlive: true,
    },
  };
}

/** Options for work that nobody waits on and that may take long: migrations and the command line. */
export function unhurriedOptions(url: string): DataSourceOptions {
  return {
    type: 'postgres',
    url,
    applicationName: 'latchkey-migrations',
    poolSize: 2,
    connectTimeoutMS: 10_000,
    migrations: MIGRATIONS,
    migrationsTableName: 'schema_migrations',
    migrationsTransactionMode: 'each',
  };
}

/** Options of the data plane: a caller is told within moments that the database is away. */
export function dataPlanePoolOptions(url: string): PoolConfig {
  return { ...hastyOptions(url), application_name: 'latchkey-data-plane', max: 4 };
}

/** Options of metering: few connections, each of them busy with groups, sent one behind the other. */
export function meteringPoolOptions(url: string): PoolConfig {
  return {
    connectionString: url,
    Client: SteadyClient,
    application_name: 'latchkey-metering',
    // The next group is there as soon as the database has done with one.
    pipeline: true,
    types: EXACT_TYPES,
    max: 4,
    connectionTimeoutMillis: 1_000,
    statement_timeout: 5_000,
    lock_timeout: 2_000,
    query_timeout: 5_500,
    keepAlive: true,
  };
}

/** Options of the change feed's reader. */
export function feedPoolOptions(url: string): PoolConfig {
  return { ...hastyOptions(url), application_name: 'latchkey-feed', max: 1 };
}

/** Options of the connection that hears notifications; it may be idle for as long as nothing changes. */
export function listenerOptions(url: string): ClientConfig {
  return {
    connectionString: url,
    application_name: 'latchkey-listener',
    connectionTimeoutMillis: 1_000,
    keepAlive: true,
    keepAliveInitialDelayMillis: 5_000,
  };
}

function hastyOptions(url: string): PoolConfig {
  return {
    connectionString: url,
    Client: SteadyClient,
    types: EXACT_TYPES,
    connectionTimeoutMillis: 300,
    statement_timeout: 250,
    query_timeout: 250,
    keepAlive: true,
  };
}

/**
 * Options of the report pool. Few connections: each may keep a core of the database busy. A caller waits for one as long as
 * a statement may take, since streams that began long ago come back for one again and again.
 */
export function reportPoolOptions(url: string): PoolConfig {
  return {
    ...backgroundPoolOptions(url),
    application_name: 'latchkey-reports',
    max: 4,
    connectionTimeoutMillis: 10_000,
  };
}

/** Options of the background pool: group commits of audited reads, and jobs. */
export function backgroundPoolOptions(url: string): PoolConfig {
  return {
    connectionString: url,
    Client: SteadyClient,
    application_name: 'latchkey-background',
    types: EXACT_TYPES,
    max: 3,
    connectionTimeoutMillis: 2_000,
    statement_timeout: 10_000,
    query_timeout: 10_500,
    keepAlive: true,
  };
}
