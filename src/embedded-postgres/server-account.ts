import { spawn, type ChildProcess, type SpawnOptions } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import type { PostgresBinaries } from './binaries.js';
import { EmbeddedPostgresError } from './embedded-postgres-error.js';

/** The account PostgreSQL runs under, seen from outside: it owns the data files and the socket. */
export interface ServerAccount {
  description: string;
  uid: number;
  gid: number;
  /** Starts one of PostgreSQL's programs under this account. */
  spawn(program: string, args: string[], options: SpawnOptions): ChildProcess;
}

const OVERFLOW_ID = '65534';

/**
 * Chooses the account. PostgreSQL refuses to run as root, so root gives way to an account without
 * power over anything else; an ordinary user runs it as himself. Other programs of the account can
 * reach the database, so one that is meant for PostgreSQL is preferred to `nobody`.
 */
export async function chooseServerAccount(
  binaries: PostgresBinaries,
  directory: string,
): Promise<ServerAccount> {
  const uid = process.getuid?.() ?? -1;
  const gid = process.getgid?.() ?? -1;
  if (uid !== 0) return { description: `uid ${uid}`, uid, gid, spawn: spawnBare };

  const refusals: string[] = [];
  for (const account of [...(await readUnprivilegedAccounts()), ...userNamespaceAccount()]) {
    // Trying tells the truth about modes, ACLs, mounts and seccomp, which no reading of modes does.
    const probe = account.spawn(
      '/bin/sh',
      ['-c', 'cd "$1" && exec "$2" --version', 'sh', directory, binaries.postgres],
      {},
    );
    const { code, output } = await finished(probe);
    if (code === 0) return account;
    refusals.push(`${account.description}: ${output.trim() || `exit code ${String(code)}`}`);
  }
  throw new EmbeddedPostgresError(
    'PostgreSQL refuses to run as root, and no other account can reach both its programs ' +
      `(${binaries.postgres}) and its data (${directory}). Do one of these: run as an ordinary user; ` +
      'move the project and DATA_DIR out of directories that only root may enter (or chmod o+x them); ' +
      'on Alpine, use a Debian based image, because the programs need glibc; ' +
      `or set DATABASE_URL to a PostgreSQL server. What was tried:\n- ${refusals.join('\n- ')}`,
  );
}

async function readUnprivilegedAccounts(): Promise<ServerAccount[]> {
  const entries = (await readFile('/etc/passwd', 'utf8')).split('\n').map((line) => line.split(':'));
  return ['postgres', '_postgres', 'nobody'].flatMap((name) => {
    const entry = entries.find(([entryName]) => entryName === name);
    const uid = Number(entry?.[2]);
    const gid = Number(entry?.[3]);
    if (!(uid > 0 && gid > 0)) return [];
    return {
      description: `the account ${name} (uid ${uid})`,
      uid,
      gid,
      spawn: (program, args, options) => spawnBare(program, args, { ...options, uid, gid }),
    };
  });
}

/**
 * Inside it is nobody; outside it is a root without capabilities, which may still enter and write what
 * belongs to root. That keeps PostgreSQL content and serves where nothing else does, so it comes last.
 */
function userNamespaceAccount(): ServerAccount[] {
  if (process.platform !== 'linux') return [];
  const flags = ['--user', `--map-user=${OVERFLOW_ID}`, `--map-group=${OVERFLOW_ID}`];
  return [
    {
      description: 'root in a user namespace (unshare)',
      uid: 0,
      gid: 0,
      spawn: (program, args, options) => spawnBare('unshare', [...flags, program, ...args], options),
    },
  ];
}

function spawnBare(program: string, args: string[], options: SpawnOptions): ChildProcess {
  // The application's environment holds secrets, and PG* variables would change the server's settings.
  const kept = Object.entries(process.env).filter(([name]) => ['PATH', 'LD_LIBRARY_PATH'].includes(name));
  const env = { ...Object.fromEntries(kept), LC_ALL: 'C', TZ: 'UTC' };
  // The working directory may be one that the account cannot enter.
  return spawn(program, args, { cwd: '/', env, ...options });
}

/** Waits for a short program and gathers what it printed; never rejects. */
export function finished(child: ChildProcess): Promise<{ code: number | null; output: string }> {
  return new Promise((resolve) => {
    let output = '';
    child.stdout?.on('data', (chunk: Buffer) => (output += chunk.toString()));
    child.stderr?.on('data', (chunk: Buffer) => (output += chunk.toString()));
    child.on('error', (error) => resolve({ code: null, output: output + error.message }));
    child.on('close', (code) => resolve({ code, output }));
  });
}
