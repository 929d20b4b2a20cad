import { open, readFile, rename, stat, unlink } from 'node:fs/promises';
import { join } from 'node:path';
import type { PostgresBinaries } from './binaries.js';
import type { DataLayout } from './data-directory.js';
import { EmbeddedPostgresError, errorCodeOf, lastLinesOf, unlessMissing } from './embedded-postgres-error.js';
import {
  findServerProcesses,
  isServerProcess,
  processIdentity,
  type ServerMark,
} from './process-identity.js';
import type { ServerAccount } from './server-account.js';
import { isAnswered, socketPath } from './socket-directory.js';
import { waitUntil } from './wait-until.js';

/** What `postmaster.pid` tells of a server (PostgreSQL's src/include/utils/pidfile.h). */
export interface Postmaster {
  pid: number;
  port: number;
  socketDirectory: string;
  status: string;
}

const LONGEST_LOG_BYTES = 10 * 1024 * 1024;
const LEFTOVERS_GRACE_MS = 5_000;
const SMART_SHUTDOWN_MS = 1_000;
const FAST_SHUTDOWN_MS = 30_000;

/** The server that runs over this data directory, if any. A pid file that a dead one left is removed. */
export async function findPostmaster(mark: ServerMark): Promise<Postmaster | undefined> {
  const found = await readPidFile(mark.dataDirectory);
  if (found === undefined || (await isServerProcess(found.pid, mark))) return found;
  const socket = socketPath(found.socketDirectory, found.port);
  if (found.socketDirectory !== '' && (await isAnswered(socket))) {
    throw new EmbeddedPostgresError(
      `A PostgreSQL answers at ${socket}, and its process ${found.pid} cannot be seen from here: another container ` +
        'seems to use the same DATA_DIR. Stop it, or give each container a DATA_DIR of its own, or set DATABASE_URL.',
    );
  }
  await unlessMissing(unlink(pidFile(mark.dataDirectory)));
  return undefined;
}

/** Ends what a killed server left: children that still hold its shared memory and would block a new one. */
export async function endLeftovers(mark: ServerMark): Promise<void> {
  for (const signal of ['SIGQUIT', 'SIGKILL'] as const) {
    const pids = await findServerProcesses(mark);
    if (pids.length === 0) return;
    for (const pid of pids) sendSignal(pid, signal);
    const areGone = async (): Promise<boolean> => (await findServerProcesses(mark)).length === 0;
    if (await waitUntil(areGone, Date.now() + LEFTOVERS_GRACE_MS)) return;
  }
  throw new EmbeddedPostgresError(
    `Processes of an earlier PostgreSQL over ${mark.dataDirectory} do not end: ` +
      `${(await findServerProcesses(mark)).join(', ')}. End them (kill -9), or restart the machine, and start again.`,
  );
}

/** Starts a server in a session of its own, so that neither Ctrl-C nor this process's end reaches it. */
export async function launchPostmaster(
  layout: DataLayout,
  binaries: PostgresBinaries,
  account: ServerAccount,
  settings: Record<string, string>,
): Promise<{ hasExited: () => boolean }> {
  if (((await unlessMissing(stat(layout.logFile)))?.size ?? 0) > LONGEST_LOG_BYTES) {
    await rename(layout.logFile, `${layout.logFile}.1`);
  }
  const args = Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`]);
  const log = await open(layout.logFile, 'a', 0o600);
  try {
    const child = account.spawn(binaries.postgres, ['-D', layout.cluster, ...args], {
      detached: true,
      stdio: ['ignore', log.fd, log.fd],
    });
    let hasExited = false;
    child.on('exit', () => (hasExited = true));
    child.on('error', () => (hasExited = true));
    child.unref();
    return { hasExited: () => hasExited };
  } finally {
    await log.close();
  }
}

/** Waits until the server answers queries; a crash recovery before it may take long. */
export async function waitUntilReady(
  layout: DataLayout,
  hasExited: () => Promise<boolean>,
  deadlineMs: number,
): Promise<Postmaster> {
  let ready: Postmaster | undefined;
  let exited = false;
  await waitUntil(async () => {
    const found = await readPidFile(layout.cluster);
    if (found?.status === 'ready') ready = found;
    else exited = await hasExited();
    return exited || ready !== undefined;
  }, deadlineMs);
  if (ready !== undefined) return ready;
  const problem = exited
    ? `PostgreSQL ended while it started over ${layout.cluster}. Its log says why; correct that and start again.`
    : `PostgreSQL over ${layout.cluster} is not ready in time. It is left running, so that a crash recovery is not lost: ` +
      'start again to wait for it, or allow it more time.';
  throw new EmbeddedPostgresError(problem + (await lastLinesOf(layout.logFile)));
}

/**
 * Asks a server to end its sessions and stop, forces it when it does not, and waits until it is gone.
 * PostgreSQL removes its pid file just before; one that was killed meanwhile leaves it to the next start.
 */
export async function shutDown(layout: DataLayout, { pid }: Postmaster): Promise<void> {
  // pg-pool's end() resolves before its connections are closed; ending those under it would make the
  // pool emit an error that nobody awaits. So sessions first get a moment to leave by themselves.
  if (await shutDownBy('SIGTERM', SMART_SHUTDOWN_MS)) return;
  if (await shutDownBy('SIGINT', FAST_SHUTDOWN_MS)) return;
  // An immediate shutdown loses nothing that was committed; the next start recovers from the log.
  if (await shutDownBy('SIGQUIT', LEFTOVERS_GRACE_MS * 2)) return;
  throw new EmbeddedPostgresError(
    `PostgreSQL (pid ${pid}) does not stop. Its log says why; end it with kill -9 ${pid} if it must be gone: ` +
      `committed data is safe.${await lastLinesOf(layout.logFile)}`,
  );

  async function shutDownBy(signal: NodeJS.Signals, graceMs: number): Promise<boolean> {
    sendSignal(pid, signal);
    return waitUntil(async () => (await processIdentity(pid)) === undefined, Date.now() + graceMs);
  }
}

async function readPidFile(dataDirectory: string): Promise<Postmaster | undefined> {
  const lines = (await unlessMissing(readFile(pidFile(dataDirectory), 'utf8')))?.split('\n');
  if (lines === undefined) return undefined;
  return {
    pid: Number.parseInt(lines[0] ?? '', 10) || 0,
    port: Number.parseInt(lines[3] ?? '', 10) || 0,
    socketDirectory: lines[4]?.trim() ?? '',
    status: lines[7]?.trim() ?? '',
  };
}

function pidFile(dataDirectory: string): string {
  return join(dataDirectory, 'postmaster.pid');
}

function sendSignal(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch (error) {
    if (errorCodeOf(error) !== 'ESRCH') throw error;
  }
}
