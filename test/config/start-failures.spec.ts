import { randomBytes } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { requireSameDatabase, waitForDatabase } from '../../src/database/usable-database.js';
import { explainStartFailure } from '../../src/start-failures.js';
import { AppProcess } from '../support/app-process.js';
import { createTestDatabase, type TestDatabase } from '../support/database.js';
import { withDatabase } from '../support/database-url.js';
import { DataDirectory } from '../support/data-directory.js';
import { freePort } from '../support/ports.js';
import { TcpProxy } from '../support/tcp-proxy.js';
import { testEnvironment } from '../support/test-app.js';

const PASSWORD = 'hunter2-never-shown';

describe('a start that cannot succeed says why in one sentence, what to do, and no password', () => {
  const role = `role_${randomBytes(4).toString('hex')}`;
  let database: TestDatabase;
  let directory: DataDirectory;
  let proxy: TcpProxy;
  beforeAll(async () => {
    database = await createTestDatabase();
    directory = await DataDirectory.make();
    proxy = await TcpProxy.start(database.url);
    await database.query(`CREATE ROLE ${role} LOGIN PASSWORD '${PASSWORD}'`);
  });
  afterAll(async () => {
    proxy.stop();
    await database.query(`DROP ROLE ${role}`);
    await database.drop();
    await directory.remove();
  });

  /** What the service said as it ended with 1: the last line, which is one of JSON. */
  async function failureOf(environment: Record<string, string>): Promise<string> {
    const app = await AppProcess.launch({
      ...testEnvironment(database.url),
      DATA_DIR: directory.path,
      STARTUP_TIMEOUT_SECONDS: '0',
      ...environment,
    });
    const exit = await app.exit;
    expect({ exit, stderr: app.stderr }).toEqual({ exit: 1, stderr: '' });
    expect(app.stdout).not.toContain(PASSWORD);
    expect(app.stdout.split('\n').filter((text) => text !== '' && !text.startsWith('{'))).toEqual([]);
    const line = app.logLines().at(-1);
    expect(line).toMatchObject({ level: 'fatal', time: expect.any(String) });
    expect(line?.['msg']).not.toMatch(/\n\s+at /);
    return String(line?.['msg']);
  }

  /** An address of the test server by TCP, where `pg_hba.conf` trusts nobody by default. */
  const byTcp = (user: string, password = PASSWORD) =>
    proxy.urlOf(database.url).replace(/\/\/[^@]*@/, `//${user}:${password}@`);

  const databaseName = () => new URL(byTcp(role)).pathname.slice(1);

  it('where nobody listens', async () => {
    const port = await freePort();
    expect(await failureOf({ DATABASE_URL: `postgresql://me:${PASSWORD}@127.0.0.1:${port}/x` })).toBe(
      `PostgreSQL does not answer at 127.0.0.1:${port}/x (DATABASE_URL): connect ECONNREFUSED 127.0.0.1:${port}. ` +
        'Start it, or correct the host and port; it was tried for 0 s.',
    );
  });

  it('where the host is unknown', async () => {
    expect(await failureOf({ DATABASE_URL: `postgresql://me:${PASSWORD}@no-such-host.invalid/x` })).toBe(
      'The host of DATABASE_URL is unknown: no-such-host.invalid:5432/x. Check its name; it was tried for 0 s.',
    );
  });

  it('where the password is wrong', async () => {
    const [{ file } = { file: '' }] = await database.query<{ file: string }>(
      `SELECT current_setting('hba_file') AS file`,
    );
    const rules = readFileSync(file, 'utf8');
    writeFileSync(file, `local all ${role} scram-sha-256\n${rules}`);
    await database.query('SELECT pg_reload_conf()');
    // The server reads its rules a moment later.
    await sleep(200);
    try {
      expect(await failureOf({ DATABASE_URL: byTcp(role, 'not-it') })).toBe(
        `PostgreSQL at 127.0.0.1:${proxy.port}/${databaseName()} does not let ${role} in (DATABASE_URL): ` +
          'the role or its password is wrong, or pg_hba.conf refuses it.',
      );
    } finally {
      writeFileSync(file, rules);
      await database.query('SELECT pg_reload_conf()');
    }
  });

  it('where the database is missing', async () => {
    expect(await failureOf({ DATABASE_URL: withDatabase(database.url, 'not_there') })).toContain(
      'has no database not_there (DATABASE_URL). Create it: CREATE DATABASE "not_there";',
    );
  });

  it('where the role may not create tables', async () => {
    const empty = await createTestDatabase({ isEmpty: true });
    const url = empty.url.replace(/\/\/[^@]*@/, `//${role}@`);
    expect(await failureOf({ DATABASE_URL: url })).toContain(
      `as ${role}, which may not create tables. Run: GRANT CREATE ON SCHEMA "public" TO "${role}";`,
    );
    expect(await failureOf({ DATABASE_URL: url, DATABASE_SCHEMA: 'not_there' })).toContain(
      `as ${role}, which may not create the schema not_there. Run: CREATE SCHEMA "not_there" AUTHORIZATION "${role}";`,
    );
    const name = new URL(empty.url.replace('@/', '@localhost/')).pathname.slice(1);
    await empty.query(`REVOKE CONNECT ON DATABASE ${name} FROM PUBLIC`);
    expect(await failureOf({ DATABASE_URL: url })).toContain(
      `does not let ${role} connect to ${name} (DATABASE_URL). Run: GRANT CONNECT ON DATABASE "${name}" TO "${role}";`,
    );
    await empty.query(`GRANT CONNECT ON DATABASE ${name} TO PUBLIC`);
    await empty.query(`GRANT CREATE ON SCHEMA public TO ${role}`);
    expect(await failureOf({ DATABASE_URL: url })).toContain(
      `as ${role}, which may not create the extension pg_trgm. Run as a superuser`,
    );
    await empty.query(`REVOKE ALL ON SCHEMA public FROM ${role}`);
    await empty.drop();
  });

  it('where the tables belong to another role', async () => {
    const url = database.url.replace(/\/\/[^@]*@/, `//${role}@`);
    expect(await failureOf({ DATABASE_URL: url })).toContain(
      `as ${role}, but the tables belong to postgres. Connect as postgres, or set DATABASE_MIGRATION_URL to do so.`,
    );
  });

  it('but not where two roles of one database are in different time zones', async () => {
    const url = database.url.replace(/\/\/[^@]*@/, `//${role}@`);
    await database.query(`ALTER ROLE ${role} SET timezone = 'Asia/Kolkata'`);
    const [one, other] = await Promise.all([
      waitForDatabase({ variable: 'DATABASE_URL', url }, 5, () => undefined),
      waitForDatabase({ variable: 'DATABASE_MIGRATION_URL', url: database.url }, 5, () => undefined),
    ]);
    expect(() => requireSameDatabase(one, other)).not.toThrow();
  });

  it('where DATABASE_MIGRATION_URL names another database', async () => {
    const other = await createTestDatabase({ isEmpty: true });
    expect(await failureOf({ DATABASE_MIGRATION_URL: other.url })).toMatch(
      /^DATABASE_MIGRATION_URL names another database \(.*\) than DATABASE_URL \(.*\)\. Both must name the same one/,
    );
    await other.drop();
  });

  it('where the schema is older than what this version can upgrade', async () => {
    const older = await createTestDatabase();
    await older.query(`UPDATE schema_migrations SET name = 'CreateUsers1763800000000'`);
    expect(await failureOf({ DATABASE_URL: older.url })).toBe(
      'The schema of the database is older than that of version 0.1.0 of Latchkey: ' +
        'upgrade it to 0.1.0 first, by starting that version.',
    );
    await older.drop();
  });

  it('where PostgreSQL is older than 15', async () => {
    const { server, port } = await serverOfVersion('14.12', 140_012);
    expect(await failureOf({ DATABASE_URL: `postgresql://me@127.0.0.1:${port}/x?sslmode=disable` })).toBe(
      `PostgreSQL 14.12 at 127.0.0.1:${port}/x (DATABASE_URL) is too old: 15 or newer is needed. Upgrade it, or name another server.`,
    );
    server.close();
  });

  it('where the port is in use', async () => {
    const other = createServer();
    await new Promise<void>((resolve) => other.listen(0, '127.0.0.1', resolve));
    const { port } = other.address() as { port: number };
    expect(await failureOf({ PORT: String(port) })).toBe(
      `Port ${port} of 127.0.0.1 is in use by another program. Stop it, or set PORT to another port.`,
    );
    other.close();
  });

  it('where the address is not of this machine, or the port is not for this user', async () => {
    expect(await failureOf({ HOST: '192.0.2.1' })).toContain(
      'HOST=192.0.2.1 is not an address of this machine.',
    );
    const forbidden = Object.assign(new Error('listen EACCES'), { code: 'EACCES', syscall: 'listen' });
    expect(explainStartFailure(forbidden, { host: '127.0.0.1', port: 80, dataDir: '/data' })).toBe(
      'This user may not listen on port 80. Set PORT to 1024 or above, or grant the right to it.',
    );
  });

  it('where DATA_DIR cannot be written', async () => {
    const file = join(directory.path, 'a-file');
    writeFileSync(file, '');
    const { DATABASE_URL: _url, JWT_SECRET: _secret, ...embedded } = testEnvironment('');
    const start = { ...embedded, DATABASE_URL: '', JWT_SECRET: '' };
    expect(await failureOf({ ...start, DATA_DIR: join(file, 'data') })).toContain(
      `DATA_DIR (${join(file, 'data')}) cannot be used: a part of the path is a file. Choose another DATA_DIR.`,
    );
    expect(await failureOf({ ...start, DATA_DIR: '/proc/latchkey' })).toContain(
      'DATA_DIR (/proc/latchkey) cannot be used: the folder cannot be created. Choose another DATA_DIR. (ENOENT',
    );
    const forbidden = Object.assign(new Error('EACCES'), { code: 'EACCES', path: '/data/postgres' });
    expect(explainStartFailure(forbidden, { host: '', port: 0, dataDir: '/data' })).toContain(
      'DATA_DIR (/data) cannot be used: this user may not write there.',
    );
    const readOnly = Object.assign(new Error('EROFS'), { code: 'EROFS', path: '/data/secrets.json' });
    expect(explainStartFailure(readOnly, { host: '', port: 0, dataDir: '/data' })).toContain(
      'DATA_DIR (/data) cannot be used: the file system is read-only.',
    );
  });

  it('as text for a person where the log is text', async () => {
    const app = await AppProcess.launch({
      ...testEnvironment(withDatabase(database.url, 'not_there')),
      LOG_FORMAT: 'pretty',
      DATA_DIR: directory.path,
    });
    expect(await app.exit).toBe(1);
    expect(app.stdout).toBe('');
    expect(app.stderr).toMatch(/^PostgreSQL at \S+ has no database not_there \(DATABASE_URL\)\. .*\n$/);
  });
});

describe('a start before its database', () => {
  it('waits until the database is there, and says so once', async () => {
    const database = await createTestDatabase();
    const proxy = await TcpProxy.start(database.url);
    proxy.refuse();
    const app = await AppProcess.launch(testEnvironment(proxy.urlOf(database.url)));
    while (!app.stdout.includes('Waiting for PostgreSQL')) await sleep(20);
    await sleep(600);
    await proxy.pass();
    await app.ready();
    expect(
      app.stdout.match(/Waiting for PostgreSQL at 127\.0\.0\.1:\d+\/\w+: [^"]+\(at most 30 s\)\./g),
    ).toHaveLength(1);
    await app.kill9();
    proxy.stop();
    await database.drop();
  });
});

describe('a variable that is nearly the name of a setting', () => {
  it('is named at the start, with the setting that it resembles', async () => {
    const database = await createTestDatabase();
    const app = await AppProcess.start({
      ...testEnvironment(database.url),
      DATABASE_POOL_SIZES: '3',
      EDITOR: 'vi',
    });
    const warnings = app.logLines().filter(({ level }) => level === 'warn');
    expect(warnings.map(({ msg }) => msg)).toEqual([
      'DATABASE_POOL_SIZES is not a setting of Latchkey. Did you mean DATABASE_POOL_SIZE?',
    ]);
    await app.kill9();
    await database.drop();
  });
});

/** Speaks just enough of PostgreSQL's protocol (v3) to tell its version, as a server that is too old would. */
async function serverOfVersion(
  version: string,
  versionNumber: number,
): Promise<{ server: Server; port: number }> {
  const message = (type: string, ...parts: (string | Buffer | number)[]) => {
    const body = Buffer.concat(
      parts.map((part) => {
        if (typeof part === 'string') return Buffer.from(`${part}\0`);
        return typeof part === 'number' ? Buffer.from([0, 0, 0, part]) : part;
      }),
    );
    const head = Buffer.alloc(5);
    head.write(type, 'latin1');
    head.writeInt32BE(body.length + 4, 1);
    return Buffer.concat([head, body]);
  };
  const ready = message('Z', Buffer.from('I'));
  const columns = { version, version_number: String(versionNumber), identity: 'x' };
  const types = { version: 25, version_number: 23, identity: 25 };
  const row = Buffer.concat([
    message(
      'T',
      Buffer.from([0, 3]),
      ...Object.entries(types).flatMap(([name, oid]) => [
        name,
        Buffer.from([0, 0, 0, 0, 0, 0, 0, 0, 0, oid, 255, 255, 255, 255, 255, 255, 0, 0]),
      ]),
    ),
    message(
      'D',
      Buffer.from([0, 3]),
      ...Object.values(columns).flatMap((text) => [text.length, Buffer.from(text)]),
    ),
    message('C', 'SELECT 1'),
    ready,
  ]);
  const server = createServer((socket) => {
    socket.on('error', () => undefined);
    socket.on('data', (data) => {
      const isStart = data[0] === 0;
      socket.write(isStart ? Buffer.concat([message('R', 0), ready]) : row);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return { server, port: (server.address() as { port: number }).port };
}
