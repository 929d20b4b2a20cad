import { createHash } from 'node:crypto';
import { chmod, lchown, lstat, mkdir, rm } from 'node:fs/promises';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { EmbeddedPostgresError, errorCodeOf } from './embedded-postgres-error.js';
import type { ServerAccount } from './server-account.js';

/** The port in the socket's name; PostgreSQL listens on no TCP port. */
export const SOCKET_PORT = 5432;

/** `sun_path` holds 108 bytes on Linux and 104 on macOS, its final zero among them. */
const LONGEST_SOCKET_PATH = process.platform === 'linux' ? 107 : 103;

/** The path of the socket that PostgreSQL makes in a directory. */
export function socketPath(directory: string, port: number): string {
  return join(directory, `.s.PGSQL.${port}`);
}

/**
 * Makes the directory of the socket. Every user that can enter it is a superuser of the database, so it is
 * 0700 and belongs to the server's account. No server may run there.
 */
export async function prepareSocketDirectory(root: string, account: ServerAccount): Promise<string> {
  const usual = join(root, 'socket');
  const directory = [usual, ...shortDirectories(root, account)].find(
    (candidate) => Buffer.byteLength(socketPath(candidate, SOCKET_PORT)) <= LONGEST_SOCKET_PATH,
  );
  if (directory === undefined) {
    throw new EmbeddedPostgresError(
      `No directory with a path short enough for a unix socket was found. Set a shorter DATA_DIR.`,
    );
  }
  // Nobody else can make it here, and the account it belonged to may have changed since.
  if (directory === usual) await rm(usual, { recursive: true, force: true });
  try {
    await mkdir(directory, { mode: 0o700 });
    await chmod(directory, 0o700);
  } catch (error) {
    if (errorCodeOf(error) !== 'EEXIST') throw error;
  }
  await claim(directory, account);
  // The names of a dead server's socket and lock hold its pid, which may be a living stranger's now.
  const socket = socketPath(directory, SOCKET_PORT);
  await Promise.all([rm(socket, { force: true }), rm(`${socket}.lock`, { force: true })]);
  return directory;
}

function shortDirectories(root: string, account: ServerAccount): string[] {
  const name = `latchkey-${createHash('sha256').update(root).digest('hex').slice(0, 16)}`;
  // Root's TMPDIR may be private to root, where the account it gives way to cannot follow.
  const isSomebodyElse = account.uid !== process.getuid?.();
  return [...(isSomebodyElse ? [] : [join(tmpdir(), name)]), join('/tmp', name)];
}

/** Anybody can make a directory under /tmp, so an existing one is trusted only after a look at it. */
async function claim(directory: string, { uid, gid }: ServerAccount): Promise<void> {
  const found = await lstat(directory);
  const isOurs = found.uid === uid || found.uid === process.getuid?.();
  if (!found.isDirectory() || !isOurs || (found.mode & 0o077) !== 0) {
    throw new EmbeddedPostgresError(
      `The socket directory ${directory} is not a directory that only uid ${uid} may enter ` +
        `(owner ${found.uid}, mode ${(found.mode & 0o777).toString(8)}). Somebody else may have made it: remove it and start again.`,
    );
  }
  if (found.uid !== uid) await lchown(directory, uid, gid);
}

/** Whether a server listens on a socket, even one that is busy, or whose process cannot be seen from here. */
export function isAnswered(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(path);
    socket.on('connect', () => socket.destroy());
    socket.on('error', (error) => resolve(!['ENOENT', 'ECONNREFUSED'].includes(errorCodeOf(error) ?? '')));
    socket.on('close', () => resolve(true));
  });
}
