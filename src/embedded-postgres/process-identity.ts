import { execFile } from 'node:child_process';
import { readFile, readdir, readlink, stat } from 'node:fs/promises';
import { promisify } from 'node:util';
import { errorCodeOf, unlessMissing } from './embedded-postgres-error.js';

const run = promisify(execFile);

/** What tells a PostgreSQL process that works on one data directory from every other process. */
export interface ServerMark {
  /** Absolute real path of the data directory, which is every server process's working directory. */
  dataDirectory: string;
  /** The `cluster_name` given at start, which PostgreSQL shows in every process title. */
  clusterName: string;
}

/**
 * A string that names one run of one process, or undefined when no such process lives. A bare pid is
 * not enough: after a crash or a reboot the number may belong to somebody else.
 */
export async function processIdentity(pid: number): Promise<string | undefined> {
  if (process.platform !== 'linux') {
    const [state, ...started] = (await ps('-o', 'stat=', '-o', 'lstart=', '-p', String(pid)))
      .trim()
      .split(/\s+/);
    return !state || state.startsWith('Z') ? undefined : `${pid} ${started.join(' ')}`;
  }
  const line = await unlessMissing(readFile(`/proc/${pid}/stat`, 'utf8'));
  // The program's name is in parentheses and may itself contain spaces and parentheses.
  const fields = line?.slice(line.lastIndexOf(')') + 2).split(' ');
  const state = fields?.[0];
  // A zombie has ended; where process 1 reaps nobody, as in many containers, it stays for ever.
  if (state === undefined || state === 'Z' || state === 'X') return undefined;
  const bootId = (await readFile('/proc/sys/kernel/random/boot_id', 'utf8')).trim();
  const startTicks = fields?.[19] ?? '';
  return `${pid} ${startTicks} ${bootId}`;
}

/** Whether the process that `processIdentity` described still runs. */
export async function isStillRunning(identity: string): Promise<boolean> {
  const pid = Number.parseInt(identity, 10);
  return pid > 0 && (await processIdentity(pid)) === identity;
}

/** The pids of all PostgreSQL processes, parents and children, that work on a data directory. */
export async function findServerProcesses(mark: ServerMark): Promise<number[]> {
  if (process.platform !== 'linux') {
    return (await ps('-axww', '-o', 'pid=', '-o', 'command='))
      .split('\n')
      .filter((line) => isPostgresTitle(line.trim().replace(/^\d+ /, '')) && carriesMark(line, mark))
      .map((line) => Number.parseInt(line, 10));
  }
  const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name)).map(Number);
  const found = await Promise.all(
    pids.map(async (pid) => ((await isServerProcess(pid, mark)) ? pid : undefined)),
  );
  return found.filter((pid) => pid !== undefined);
}

/** Whether a process is a PostgreSQL that works on this data directory. */
export async function isServerProcess(pid: number, mark: ServerMark): Promise<boolean> {
  if (process.platform !== 'linux') return (await findServerProcesses(mark)).includes(pid);
  const title = await unlessMissing(readFile(`/proc/${pid}/cmdline`, 'utf8'));
  // Only the program's own name counts: a pager or an editor may work in the same directory.
  if (!isPostgresTitle(title?.split('\0')[0] ?? '')) return false;
  if (title?.includes(mark.clusterName)) return true;
  try {
    return (await unlessMissing(worksIn(pid, mark.dataDirectory))) ?? false;
  } catch (error) {
    // A root without CAP_SYS_PTRACE, as in a default container, may not look at another user's cwd.
    if (errorCodeOf(error) === 'EACCES') return false;
    throw error;
  }
}

async function worksIn(pid: number, directory: string): Promise<boolean> {
  const cwd = `/proc/${pid}/cwd`;
  const path = await readlink(cwd);
  if (path === `${directory} (deleted)`) {
    // Somebody removed the data under a server; when that one ends it would remove our socket.
    return (await readlink(`/proc/${pid}/ns/mnt`)) === (await readlink('/proc/self/ns/mnt'));
  }
  // Equal paths may be different directories: the process may live in a container of its own.
  const [here, there] = await Promise.all([unlessMissing(stat(directory)), stat(cwd)]);
  return here !== undefined && here.ino === there.ino && here.dev === there.dev;
}

function isPostgresTitle(title: string): boolean {
  // `unshare` is what becomes PostgreSQL a moment later.
  return /^postgres: |(^|\/)postgres( |$)|^unshare( |$)/.test(title);
}

function carriesMark(title: string, { clusterName, dataDirectory }: ServerMark): boolean {
  return title.includes(clusterName) || title.includes(`-D ${dataDirectory} `);
}

async function ps(...args: string[]): Promise<string> {
  try {
    return (await run('ps', args, { env: { PATH: process.env['PATH'], LC_ALL: 'C' }, maxBuffer: 64 << 20 }))
      .stdout;
  } catch (error) {
    // It exits with 1 when the pid it was asked about does not exist.
    if (error instanceof Error && 'code' in error && error.code === 1) return '';
    throw error;
  }
}
