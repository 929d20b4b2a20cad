import { resolve } from 'node:path';
import pg from 'pg';
import { findBinaries } from './binaries.js';
import { registerClient, unregisterClient } from './clients.js';
import { markOf, openLayout, prepareCluster, type DataLayout } from './data-directory.js';
import { withLock } from './directory-lock.js';
import { EmbeddedPostgresError, errorCodeOf, lastLinesOf } from './embedded-postgres-error.js';
import {
  endLeftovers,
  findPostmaster,
  launchPostmaster,
  shutDown,
  waitUntilReady,
  type Postmaster,
} from './postmaster.js';
import { isServerProcess, type ServerMark } from './process-identity.js';
import { chooseServerAccount } from './server-account.js';
import { isAnswered, prepareSocketDirectory, socketPath, SOCKET_PORT } from './socket-directory.js';
import { waitUntil } from './wait-until.js';

/** How to start the embedded server. */
export interface EmbeddedPostgresOptions {
  /** Holds all that belongs to this server (data, socket, log, lock), such as `<DATA_DIR>/postgres`. */
  dataDirectory: string;
  /** Created when missing; `latchkey` by default. */
  database?: string;
  /** PostgreSQL settings by name, such as `{ max_connections: '50' }`; an adopted server keeps its own. */
  settings?: Record<string, string>;
  /** Bounds the wait for other starters, then for readiness (crash recovery included); 60 000 by default. */
  startTimeoutMs?: number;
}

/** A running embedded server. */
export interface EmbeddedPostgres {
  /** For `pg.Pool`'s `connectionString` and TypeORM's `url`; it names a unix socket and holds no secret. */
  readonly url: string;
  readonly pid: number;
  /** Whether the server already ran, started by another process or left by a killed one. */
  readonly adopted: boolean;
  readonly logFile: string;
  /**
   * Says that this process needs the server no more. The last living process to say so shuts it down
   * and waits until it is gone; open sessions are ended, so close the pools first. May be repeated.
   */
  stop(): Promise<void>;
}

const DEFAULT_SETTINGS: Record<string, string> = {
  max_connections: '200',
  shared_buffers: '128MB',
  fsync: 'on',
  synchronous_commit: 'on',
  timezone: 'UTC',
  log_timezone: 'UTC',
};

const LAUNCH_MS = 5_000;
const STOP_LOCK_TIMEOUT_MS = 60_000;

/** Starts PostgreSQL over a data directory, or adopts the one that runs there; throws EmbeddedPostgresError. */
export async function startEmbeddedPostgres(options: EmbeddedPostgresOptions): Promise<EmbeddedPostgres> {
  const { database = 'latchkey', startTimeoutMs = 60_000 } = options;
  if (!/^[a-z_][a-z0-9_-]{0,62}$/i.test(database)) {
    throw new EmbeddedPostgresError(
      `The database name ${JSON.stringify(database)} is not of letters, digits, _ and -.`,
    );
  }
  const deadlineMs = Date.now() + startTimeoutMs;
  const layout = await openLayout(resolve(options.dataDirectory));

  return withLock(layout.lockFile, deadlineMs, async () => {
    const adopted = await adopt(layout, deadlineMs);
    const server = adopted ?? (await start(layout, options.settings ?? {}, deadlineMs));
    const note = await registerClient(layout.clients);
    try {
      await createDatabase(server, database, layout);
    } catch (error) {
      await release(layout, note);
      throw error;
    }
    const mark = await markOf(layout);
    let stopping: Promise<void> | undefined;
    return {
      url: urlOf(server, database),
      pid: server.pid,
      adopted: adopted !== undefined,
      logFile: layout.logFile,
      stop: () => (stopping ??= stop(layout, note, server, mark)),
    };
  });
}

async function adopt(layout: DataLayout, deadlineMs: number): Promise<Postmaster | undefined> {
  const mark = await markOf(layout);
  const found = await findPostmaster(mark);
  if (found === undefined) return undefined;
  const hasExited = async (): Promise<boolean> => !(await isServerProcess(found.pid, mark));
  if (found.status === 'stopping') {
    // Nobody under the lock asked for it, so somebody did by hand; a new server comes after it.
    await waitUntil(hasExited, deadlineMs);
    return undefined;
  }
  const server = await waitUntilReady(layout, hasExited, deadlineMs);
  if (await isAnswered(socketPath(server.socketDirectory, server.port))) return server;
  // Somebody removed the socket (a cleaner of /tmp, say), so nobody can ever reach this server again.
  await shutDown(layout, server);
  return undefined;
}

async function start(
  layout: DataLayout,
  settings: Record<string, string>,
  deadlineMs: number,
): Promise<Postmaster> {
  await endLeftovers(await markOf(layout));
  const binaries = await findBinaries();
  const account = await chooseServerAccount(binaries, layout.root);
  await prepareCluster(layout, binaries, account, settings['fsync'] !== 'off');
  const socketDirectory = await prepareSocketDirectory(layout.root, account);
  const { hasExited } = await launchPostmaster(layout, binaries, account, {
    ...DEFAULT_SETTINGS,
    ...settings,
    // The last word is ours: access is by the socket directory alone, never over TCP.
    listen_addresses: '',
    port: String(SOCKET_PORT),
    unix_socket_directories: `"${socketDirectory.replaceAll('"', '""')}"`,
    unix_socket_permissions: '0700',
    cluster_name: (await markOf(layout)).clusterName,
  });
  // A server that has not yet written its pid file would not be found by the next start, so it gets the
  // time to do that, even where little of the caller's is left.
  return waitUntilReady(layout, async () => hasExited(), Math.max(deadlineMs, Date.now() + LAUNCH_MS));
}

async function stop(layout: DataLayout, note: string, server: Postmaster, mark: ServerMark): Promise<void> {
  try {
    await withLock(layout.lockFile, Date.now() + STOP_LOCK_TIMEOUT_MS, () => release(layout, note));
  } catch (error) {
    if (errorCodeOf(error) !== 'ENOENT') throw error;
    // Somebody removed the directory, and with it the lock and the other clients' notes.
    if (await isServerProcess(server.pid, mark)) await shutDown(layout, server);
  }
}

async function release(layout: DataLayout, note: string): Promise<void> {
  const { othersRemain } = await unregisterClient(layout.clients, note);
  if (othersRemain) return;
  // What runs now may be a successor of the server that was started here, after a crash.
  const server = await findPostmaster(await markOf(layout));
  if (server !== undefined) await shutDown(layout, server);
}

async function createDatabase(server: Postmaster, database: string, layout: DataLayout): Promise<void> {
  const client = new pg.Client({
    connectionString: urlOf(server, 'postgres'),
    connectionTimeoutMillis: 10_000,
  });
  // A server that goes away is also told to the pending query, where it is reported.
  client.on('error', () => undefined);
  try {
    await client.connect();
    const { rowCount } = await client.query('SELECT FROM pg_database WHERE datname = $1', [database]);
    if (rowCount === 0) await client.query(`CREATE DATABASE ${pg.escapeIdentifier(database)}`);
  } catch (error) {
    throw new EmbeddedPostgresError(
      `PostgreSQL (pid ${server.pid}) runs, and the database ${database} cannot be reached or made: ` +
        `${error instanceof Error ? error.message : String(error)}.${await lastLinesOf(layout.logFile)}`,
      { cause: error },
    );
  } finally {
    await client.end();
  }
}

/** Port and sslmode are spelled out because pg would otherwise take PGPORT and PGSSLMODE from the environment. */
function urlOf({ socketDirectory, port }: Postmaster, database: string): string {
  return `postgresql://postgres@/${database}?host=${encodeURIComponent(socketDirectory)}&port=${port}&sslmode=disable`;
}
