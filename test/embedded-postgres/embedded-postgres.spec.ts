import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { chmodSync, readFileSync } from 'node:fs';
import { chown, cp, mkdir, mkdtemp, readdir, readlink, rename, rm, stat, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import pg from 'pg';
import { DataSource } from 'typeorm';
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { findBinaries, linkLibraries } from '../../src/embedded-postgres/binaries.js';
import {
  startEmbeddedPostgres,
  type EmbeddedPostgres,
  type EmbeddedPostgresOptions,
} from '../../src/embedded-postgres/embedded-postgres.js';

const NOBODY = 65534;
const isRoot = process.getuid?.() === 0;
const isLinux = process.platform === 'linux';
const launcher = fileURLToPath(new URL('../../src/embedded-postgres/embedded-postgres.ts', import.meta.url));
const tsx = pathToFileURL(createRequire(import.meta.url).resolve('tsx')).href;
const nobodyReachesProject =
  isRoot && succeedsAs(NOBODY, '/bin/sh', ['-c', `cat '${launcher}' && '${process.execPath}' -v`]);
const canUnshare =
  isRoot && succeedsAs(0, 'unshare', ['--user', `--map-user=${NOBODY}`, `--map-group=${NOBODY}`, 'true']);

// These settings make a start cheap; what they switch off is not what these tests are about.
const quick = { fsync: 'off', max_connections: '20', shared_buffers: '16MB' };

const cleanups: (() => Promise<unknown>)[] = [];

// Most guarantees are about a data directory that exists already. Making one takes most of a test's time,
// so a finished test hands its own to the next, which moves it into a new place.
let spare: string;

beforeAll(async () => {
  spare = await mkdtemp(join(tmpdir(), 'latchkey-spare-'));
});

afterAll(() => rm(spare, { recursive: true }));

afterEach(async () => {
  vi.unstubAllEnvs();
  for (const cleanup of cleanups.splice(0).toReversed()) await cleanup();
});

describe('the embedded PostgreSQL', { timeout: 20_000 }, () => {
  describe('start', () => {
    it('makes a durable UTF-8 database on a unix socket and never listens on TCP', async () => {
      const server = await start({ dataDirectory: await temporaryDirectory() });

      expect(server.adopted).toBe(false);
      expect(await settingsOf(server)).toEqual({
        data_checksums: 'on',
        fsync: 'on',
        listen_addresses: '',
        log_timezone: 'UTC',
        max_connections: '200',
        server_encoding: 'UTF8',
        synchronous_commit: 'on',
        TimeZone: 'UTC',
      });
      expect(
        await query(
          server,
          `SELECT datname, datlocprovider, datlocale FROM pg_database WHERE datname = 'latchkey'`,
        ),
      ).toEqual([{ datname: 'latchkey', datlocprovider: 'b', datlocale: 'C.UTF-8' }]);
    });

    it('gives a url that serves pg.Pool and TypeORM, whatever PG* variables and odd directory names say', async () => {
      vi.stubEnv('PGPORT', '1');
      vi.stubEnv('PGHOST', 'nowhere.invalid');
      vi.stubEnv('PGSSLMODE', 'require');
      const dataDirectory = await usedDirectory(`a b,c"d'é#&?%25`);
      const server = await start({ dataDirectory, database: 'other-name', settings: quick });

      expect(await query(server, 'SELECT current_database() AS name')).toEqual([{ name: 'other-name' }]);
      const dataSource = await new DataSource({ type: 'postgres', url: server.url }).initialize();
      expect(await dataSource.query('SELECT current_database() AS name')).toEqual([{ name: 'other-name' }]);
      expect(dataSource.driver.database).toBe('other-name');
      await dataSource.destroy();
    });

    it('keeps the data of an earlier run', async () => {
      const dataDirectory = await usedDirectory();
      const first = await start({ dataDirectory, settings: quick });
      const value = await remember(first);
      await first.stop();

      const second = await start({ dataDirectory, settings: quick });

      expect(second.adopted).toBe(false);
      expect(await remembers(second, value)).toBe(true);
    });

    it('gives one server to all who start it at once', async () => {
      const dataDirectory = await temporaryDirectory();
      const child = startInChild(dataDirectory);
      const servers = await Promise.all([
        start({ dataDirectory, settings: quick }),
        start({ dataDirectory, settings: quick }),
        child.started,
      ]);

      expect(new Set(servers.map(({ pid }) => pid)).size).toBe(1);
      expect(servers.filter(({ adopted }) => !adopted)).toHaveLength(1);
    });
  });

  describe('stop', () => {
    it('returns when the server is gone, and may be repeated', async () => {
      const dataDirectory = await usedDirectory();
      const server = await start({ dataDirectory, settings: quick });
      await Promise.all([server.stop(), server.stop()]);

      expect(isAlive(server.pid)).toBe(false);
      expect(await readdir(join(dataDirectory, 'cluster'))).not.toContain('postmaster.pid');
    });

    it('leaves the server to those who still use it, also when its starter stops first', async () => {
      const dataDirectory = await usedDirectory();
      const starter = await start({ dataDirectory, settings: quick });
      const adopter = await start({ dataDirectory, settings: quick });
      await starter.stop();

      expect(adopter).toMatchObject({ adopted: true, pid: starter.pid });
      expect(await query(adopter, 'SELECT 1 AS one')).toEqual([{ one: 1 }]);
      await adopter.stop();
      expect(isAlive(adopter.pid)).toBe(false);
    });

    it('ends a server whose directory was removed', async () => {
      const dataDirectory = join(await temporaryDirectory(), 'postgres');
      const server = await start({ dataDirectory, settings: quick });
      await rm(dataDirectory, { recursive: true });
      await server.stop();

      expect(isAlive(server.pid)).toBe(false);
    });

    it('ends sessions that do not leave', async () => {
      const server = await start({ dataDirectory: await usedDirectory(), settings: quick });
      const busy = await connect(server);
      const outcome = busy.query('SELECT pg_sleep(600)').catch((error: unknown) => error);
      await server.stop();

      expect(await outcome).toBeInstanceOf(Error);
      expect(isAlive(server.pid)).toBe(false);
    });
  });

  describe('recovers from', () => {
    it('kill -9 of the server under a busy session: committed data is there', async () => {
      const dataDirectory = await usedDirectory();
      const first = await start({ dataDirectory, settings: quick });
      const value = await remember(first);
      const busy = await connect(first);
      const { rows } = await busy.query<{ pid: number }>('SELECT pg_backend_pid() AS pid');
      // A session that computes does not notice its parent's death, and holds the shared memory.
      void busy.query('SELECT count(*) FROM generate_series(1, 1000000000000)').catch(() => undefined);
      process.kill(first.pid, 'SIGKILL');
      await eventually(() => !isAlive(first.pid));
      expect(isAlive(rows[0]?.pid ?? 0)).toBe(true);

      const second = await start({ dataDirectory, settings: quick });

      expect(isAlive(rows[0]?.pid ?? 0)).toBe(false);
      expect(second.adopted).toBe(false);
      expect(await remembers(second, value)).toBe(true);
    });

    it('kill -9 of the process that started it: the running server is adopted, and stopped at the end', async () => {
      const dataDirectory = await usedDirectory();
      const child = startInChild(dataDirectory);
      const { pid } = await child.started;
      await kill(child.process);

      const server = await start({ dataDirectory, settings: quick });

      expect(server).toMatchObject({ adopted: true, pid });
      await server.stop();
      expect(isAlive(pid)).toBe(false);
    });

    it('kill -9 during initdb', async () => {
      const dataDirectory = await temporaryDirectory();
      const child = startInChild(dataDirectory);
      child.started.catch(() => undefined);
      await eventually(async () => {
        const draft = (await readdir(dataDirectory)).find((name) => name.startsWith('cluster.new-'));
        return (
          draft !== undefined &&
          (await readdir(join(dataDirectory, draft)).catch((): string[] => [])).includes('PG_VERSION')
        );
      });
      await kill(child.process);
      expect(await readdir(dataDirectory)).not.toContain('cluster');

      const server = await start({ dataDirectory, settings: quick });

      expect(await query(server, 'SELECT 1 AS one')).toEqual([{ one: 1 }]);
      expect((await readdir(dataDirectory)).filter((name) => name.startsWith('cluster'))).toEqual([
        'cluster',
      ]);
    });

    it('pid files and locks whose number belongs to a stranger by now', async () => {
      const dataDirectory = await usedDirectory();
      const socketDirectory = join(dataDirectory, 'socket');
      await mkdir(socketDirectory, { mode: 0o700 });
      const pidFile = `${process.pid}\n${dataDirectory}/cluster\n1\n5432\n${socketDirectory}\n\n 1 1\nready   \n`;
      await writeFile(join(dataDirectory, 'cluster/postmaster.pid'), pidFile);
      await writeFile(join(socketDirectory, '.s.PGSQL.5432.lock'), pidFile);
      await writeFile(join(dataDirectory, 'lock'), `${process.pid} somebody before the reboot`);

      const server = await start({ dataDirectory, settings: quick });

      expect(server.adopted).toBe(false);
      expect(await query(server, 'SELECT 1 AS one')).toEqual([{ one: 1 }]);
    });

    it('removal of its socket under it', async () => {
      const dataDirectory = await usedDirectory();
      const unreachable = await start({ dataDirectory, settings: quick });
      await rm(join(dataDirectory, 'socket'), { recursive: true });

      const server = await start({ dataDirectory, settings: quick });

      expect(isAlive(unreachable.pid)).toBe(false);
      expect(await query(server, 'SELECT 1 AS one')).toEqual([{ one: 1 }]);
    });

    it('removal of its data under it', async () => {
      const dataDirectory = join(await temporaryDirectory(), 'postgres');
      const orphan = startInChild(dataDirectory);
      const { pid } = await orphan.started;
      await kill(orphan.process);
      // macOS tells no process's directory, and Linux not to a root without CAP_SYS_PTRACE.
      const isVisible = await readlink(`/proc/${pid}/cwd`).then(
        () => true,
        () => false,
      );
      await rm(dataDirectory, { recursive: true });

      const server = await start({ dataDirectory, settings: quick });

      // An unseen one ends itself within a minute, when it misses its pid file.
      if (isVisible) expect(isAlive(pid)).toBe(false);
      expect(await query(server, 'SELECT 1 AS one')).toEqual([{ one: 1 }]);
    });
  });

  describe('access', () => {
    it('is by a socket in a directory that only its account may enter', async () => {
      const dataDirectory = await usedDirectory();
      const server = await start({ dataDirectory, settings: quick });

      expect(new URL(server.url.replace('@/', '@base/')).searchParams.get('host')).toBe(
        join(dataDirectory, 'socket'),
      );
      expect(await modeOf(join(dataDirectory, 'socket'))).toBe('700');
      expect(await modeOf(join(dataDirectory, 'socket/.s.PGSQL.5432'))).toBe('700');
      expect(await modeOf(join(dataDirectory, 'cluster'))).toBe('700');
    });

    it('falls back to a private directory under /tmp where the path is too long for a socket', async () => {
      const dataDirectory = await usedDirectory('long'.repeat(30));
      const server = await start({ dataDirectory, settings: quick });
      const socketDirectory = new URL(server.url.replace('@/', '@base/')).searchParams.get('host') ?? '';
      cleanups.unshift(() => rm(socketDirectory, { recursive: true }));

      expect(await query(server, 'SELECT 1 AS one')).toEqual([{ one: 1 }]);
      expect(socketDirectory).toMatch(/\/latchkey-[0-9a-f]{16}$/);
      expect(await modeOf(socketDirectory)).toBe('700');

      await server.stop();
      chmodSync(socketDirectory, 0o755);
      await expect(start({ dataDirectory, settings: quick })).rejects.toThrow(
        /Somebody else may have made it/,
      );
    });
  });

  describe('as root', () => {
    it.skipIf(!nobodyReachesProject)('runs under another account', async () => {
      const server = await start({ dataDirectory: await usedDirectory(), settings: quick });

      expect(statusOf(server.pid)).not.toMatch(/^Uid:\s+0\s/m);
    });

    it.skipIf(!canUnshare)('runs without privileges under a directory that only root may enter', async () => {
      const dataDirectory = await usedDirectory();
      const closed = dirname(dataDirectory);
      chmodSync(closed, 0o700);
      const first = await start({ dataDirectory, settings: quick });
      expect(statusOf(first.pid)).toMatch(/^CapEff:\s+0+$/m);
      const value = await remember(first);
      await first.stop();

      // The data follow when the directory is opened later, and another account is chosen.
      chmodSync(closed, 0o755);
      const second = await start({ dataDirectory, settings: quick });
      expect(await remembers(second, value)).toBe(true);
    });

    it.skipIf(!isRoot)('says what to do where no account can reach the data', async () => {
      const closed = await temporaryDirectory();
      chmodSync(closed, 0o700);
      vi.stubEnv('PATH', '/nonexistent');

      await expect(start({ dataDirectory: join(closed, 'postgres') })).rejects.toThrow(
        /refuses to run as root[^]*run as an ordinary user; move the project[^]*DATABASE_URL[^]*nobody[^]*unshare/,
      );
    });
  });

  describe('as an ordinary user', () => {
    // Under root this borrows nobody's account, which must be able to read the project; else it is skipped.
    it.skipIf(isRoot && !nobodyReachesProject)(
      'runs as himself and refuses data of somebody else',
      async () => {
        const base = await temporaryDirectory();
        if (isRoot) await chown(base, NOBODY, NOBODY);
        const child = startInChild(join(base, 'postgres'), isRoot ? { uid: NOBODY, gid: NOBODY } : {});
        const { pid } = await child.started;
        const { uid } = await stat(join(base, 'postgres/cluster'));

        expect(uid).toBe(isRoot ? NOBODY : process.getuid?.());
        if (isLinux) expect(statusOf(pid)).toMatch(new RegExp(`^Uid:\\s+${uid}\\s`, 'm'));

        if (!isRoot) return;
        const foreign = join(await temporaryDirectory(), 'postgres');
        await mkdir(foreign);
        const refused = startInChild(foreign, { uid: NOBODY, gid: NOBODY });
        await expect(refused.started).rejects.toThrow(
          /cannot be used by uid 65534.*give it to this one \(chown -R\)/,
        );
      },
    );
  });

  describe('refuses, with a sentence for the operator,', () => {
    it('a directory of other files, which it leaves alone', async () => {
      const dataDirectory = await temporaryDirectory();
      await mkdir(join(dataDirectory, 'cluster'));
      await writeFile(join(dataDirectory, 'cluster/precious'), 'x');

      await expect(start({ dataDirectory, settings: quick })).rejects.toThrow(
        /holds files and is not a PostgreSQL data directory/,
      );
      expect(await readdir(join(dataDirectory, 'cluster'))).toEqual(['precious']);
    });

    it('data of another major version', async () => {
      const dataDirectory = await temporaryDirectory();
      await mkdir(join(dataDirectory, 'cluster'));
      await writeFile(join(dataDirectory, 'cluster/PG_VERSION'), '9\n');

      await expect(start({ dataDirectory, settings: quick })).rejects.toThrow(
        /made by PostgreSQL 9, and version 17 is installed/,
      );
    });

    it('a setting that PostgreSQL refuses, with the last lines of its log', async () => {
      const settings = { ...quick, max_connections: 'plenty' };
      await expect(start({ dataDirectory: await usedDirectory(), settings })).rejects.toThrow(
        /ended while it started[^]*last lines of[^]*invalid value for parameter "max_connections": "plenty"/,
      );
    });

    it('to wait for readiness longer than allowed, and leaves the server to the next start', async () => {
      const dataDirectory = await usedDirectory();
      const server = await start({ dataDirectory, settings: quick });
      const pidFile = join(dataDirectory, 'cluster/postmaster.pid');
      const content = readFileSync(pidFile, 'utf8');
      await writeFile(pidFile, content.replace('ready   ', 'starting'));

      const impatient = start({ dataDirectory, settings: quick, startTimeoutMs: 50 });
      await expect(impatient).rejects.toThrow(/not ready in time[^]*start again to wait for it/);

      await writeFile(pidFile, content);
      expect((await start({ dataDirectory, settings: quick })).pid).toBe(server.pid);
    });
  });

  describe('its library links', () => {
    it('are made once by many, where install scripts were off', async () => {
      const { postgres } = await findBinaries();
      const copy = await temporaryDirectory();
      const source = dirname(dirname(postgres));
      await mkdir(join(copy, 'native/lib'), { recursive: true });
      await cp(join(source, 'pg-symlinks.json'), join(copy, 'native/pg-symlinks.json'));

      await Promise.all([linkLibraries(copy), linkLibraries(copy), linkLibraries(copy)]);
      await linkLibraries(copy);

      const links = JSON.parse(readFileSync(join(source, 'pg-symlinks.json'), 'utf8')) as {
        target: string;
      }[];
      for (const { target } of links) {
        expect(await readlink(join(copy, target))).toBe(await readlink(join(dirname(source), target)));
      }
      expect(await readdir(join(copy, 'native/lib'))).toHaveLength(links.length);
    });
  });
});

async function temporaryDirectory(): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'latchkey-test-'));
  // Root's server runs as another user, who has to pass through.
  chmodSync(directory, 0o755);
  cleanups.push(() => rm(directory, { recursive: true, force: true, maxRetries: 5 }));
  return directory;
}

async function usedDirectory(name = 'postgres'): Promise<string> {
  const directory = join(await temporaryDirectory(), name);
  await mkdir(directory);
  const [cluster, spareCluster] = [join(directory, 'cluster'), join(spare, 'cluster')];
  if ((await readdir(spare)).length > 0) await rename(spareCluster, cluster);
  else await (await startEmbeddedPostgres({ dataDirectory: directory, settings: quick })).stop();
  cleanups.push(() => rename(cluster, spareCluster));
  return directory;
}

/** Commits a value that no earlier test has committed. */
async function remember(server: EmbeddedPostgres): Promise<string> {
  const value = randomUUID();
  await query(server, 'CREATE TABLE IF NOT EXISTS memory (value text)');
  await query(server, `INSERT INTO memory VALUES ('${value}')`);
  return value;
}

async function remembers(server: EmbeddedPostgres, value: string): Promise<boolean> {
  return (await query(server, `SELECT FROM memory WHERE value = '${value}'`)).length === 1;
}

async function start(options: EmbeddedPostgresOptions): Promise<EmbeddedPostgres> {
  const server = await startEmbeddedPostgres(options);
  cleanups.push(() => server.stop());
  return server;
}

/** Starts the server from a process of its own, which then waits to be killed. */
function startInChild(
  dataDirectory: string,
  account: { uid?: number; gid?: number } = {},
): { process: ChildProcess; started: Promise<{ pid: number; adopted: boolean }> } {
  const program = `
    import(${JSON.stringify(pathToFileURL(launcher).href)})
      .then(({ startEmbeddedPostgres }) => startEmbeddedPostgres(${JSON.stringify({ dataDirectory, settings: quick })}))
      .then(async (server) => {
        console.log(JSON.stringify({ pid: server.pid, adopted: server.adopted }));
        process.stdin.on('end', () => server.stop()).resume();
      });`;
  const child = spawn(process.execPath, ['--import', tsx, '--input-type=module', '--eval', program], {
    cwd: '/',
    ...account,
  });
  let errors = '';
  child.stderr.on('data', (chunk: Buffer) => (errors += chunk.toString()));
  const ended = new Promise<void>((resolve) => child.on('close', () => resolve()));
  // At the end of its input the child stops its server.
  cleanups.push(() => (child.stdin.end(), ended));
  child.stdin.on('error', () => undefined);
  const started = new Promise<{ pid: number; adopted: boolean }>((resolve, reject) => {
    child.stdout.on('data', (chunk: Buffer) =>
      resolve(JSON.parse(chunk.toString()) as { pid: number; adopted: boolean }),
    );
    void ended.then(() => reject(new Error(errors)));
  });
  return { process: child, started };
}

async function kill(child: ChildProcess): Promise<void> {
  const ended = new Promise((resolve) => child.on('close', resolve));
  child.kill('SIGKILL');
  await ended;
}

async function connect(server: EmbeddedPostgres): Promise<pg.Client> {
  const client = new pg.Client({ connectionString: server.url });
  client.on('error', () => undefined);
  await client.connect();
  cleanups.push(() => client.end().catch(() => undefined));
  return client;
}

async function query(server: EmbeddedPostgres, sql: string): Promise<unknown[]> {
  const pool = new pg.Pool({ connectionString: server.url, connectionTimeoutMillis: 5_000 });
  try {
    return (await pool.query<Record<string, unknown>>(sql)).rows;
  } finally {
    await pool.end();
  }
}

async function settingsOf(server: EmbeddedPostgres): Promise<Record<string, string>> {
  const names = [
    'data_checksums',
    'fsync',
    'listen_addresses',
    'log_timezone',
    'max_connections',
    'server_encoding',
  ];
  const list = [...names, 'synchronous_commit', 'TimeZone'].map((name) => `'${name}'`).join();
  const rows = (await query(server, `SELECT name, setting FROM pg_settings WHERE name IN (${list})`)) as {
    name: string;
    setting: string;
  }[];
  return Object.fromEntries(rows.map(({ name, setting }) => [name, setting]));
}

async function eventually(condition: () => boolean | Promise<boolean>): Promise<void> {
  await vi.waitUntil(condition, { timeout: 10_000, interval: 5 });
}

async function modeOf(path: string): Promise<string> {
  return ((await stat(path)).mode & 0o777).toString(8);
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    // Where process 1 reaps nobody, an orphan that ended stays as a zombie.
    return !isLinux || !/^State:\s+Z/m.test(statusOf(pid));
  } catch {
    return false;
  }
}

function statusOf(pid: number): string {
  return readFileSync(`/proc/${pid}/status`, 'utf8');
}

function succeedsAs(uid: number, program: string, args: string[]): boolean {
  return spawnSync(program, args, { uid, gid: uid, cwd: '/' }).status === 0;
}
