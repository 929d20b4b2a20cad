import { createHash } from 'node:crypto';
import { chmodSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { hash } from 'bcrypt';
import pg from 'pg';
import { startEmbeddedPostgres } from '../../src/embedded-postgres/embedded-postgres.js';
import { migrate } from '../../src/database/migrate.js';
import { MIGRATIONS } from '../../src/database/migrations/index.js';
import { SEEDED_PASSWORD, seedStatements } from './api-key-seed.js';
import type { Cleanup } from './cleanup.js';

/** A database that a benchmark may write to; it is gone afterwards. */
export interface BenchDatabase {
  readonly url: string;
  /** Where its server writes its log; lines begin with the application's name in brackets. */
  readonly logFile: string;
  query<Row extends pg.QueryResultRow>(text: string): Promise<Row[]>;
}

export interface SeedOptions {
  readonly keys: number;
  /** Keeps the server's data, and with it the seed, for the next run. Default: a temporary folder. */
  readonly directory: string | undefined;
}

const CHEAPEST_HASH = 4;

/**
 * Starts a PostgreSQL of its own, with the settings of the embedded one (fsync on), and answers a copy of the seed.
 * The seed itself is never written to, so that each run begins with the same tables.
 */
export async function openSeededDatabase(options: SeedOptions, cleanup: Cleanup): Promise<BenchDatabase> {
  const directory = options.directory ?? makeTemporaryDirectory(cleanup);
  const starting = startEmbeddedPostgres({
    dataDirectory: resolve(directory, 'postgres'),
    database: 'postgres',
    settings: { log_line_prefix: '[%a] ' },
  });
  // Also when the start is interrupted.
  cleanup.add(() =>
    starting.then(
      (started) => started.stop(),
      () => undefined,
    ),
  );
  const server = await starting;
  const seed = await ensureSeed(server.url, options.keys);
  const name = `bench_${process.pid}`;
  await onServer(server.url, (client) =>
    client.query(`CREATE DATABASE ${name} TEMPLATE ${seed} STRATEGY file_copy`),
  );
  cleanup.add(() => onServer(server.url, (client) => client.query(`DROP DATABASE ${name} WITH (FORCE)`)));
  const url = inDatabase(server.url, name);
  return {
    url,
    logFile: server.logFile,
    query: <Row extends pg.QueryResultRow>(text: string) =>
      onServer(url, async (client) => (await client.query<Row>(text)).rows),
  };
}

/** Open to other accounts: PostgreSQL does not run as root. */
function makeTemporaryDirectory(cleanup: Cleanup): string {
  const directory = mkdtempSync(join(tmpdir(), 'latchkey-bench-'));
  cleanup.add(() => rmSync(directory, { recursive: true, force: true }));
  chmodSync(directory, 0o755);
  return directory;
}

/** The database with the seed, named after what makes it: made unless an earlier run left it. Other seeds go. */
async function ensureSeed(serverUrl: string, keys: number): Promise<string> {
  const recipe = [String(MIGRATIONS), ...seedStatements(keys, '')].join('\n');
  const name = `seed_${createHash('sha256').update(recipe).digest('hex').slice(0, 12)}`;
  const [existing] = await onServer(serverUrl, async (client) => {
    return (await client.query('SELECT FROM pg_database WHERE datname = $1', [name])).rows;
  });
  if (existing !== undefined) return name;
  const draft = `${name}_draft`;
  await onServer(serverUrl, async (client) => {
    await client.query(`DROP DATABASE IF EXISTS ${draft} WITH (FORCE)`);
    await client.query(`CREATE DATABASE ${draft}`);
  });
  const draftUrl = inDatabase(serverUrl, draft);
  await migrate(draftUrl);
  const passwordHash = await hash(SEEDED_PASSWORD, CHEAPEST_HASH);
  await onServer(draftUrl, async (client) => {
    for (const statement of seedStatements(keys, passwordHash)) await client.query(statement);
  });
  await onServer(serverUrl, async (client) => {
    await client.query(`ALTER DATABASE ${draft} RENAME TO ${name}`);
    const { rows } = await client.query<{ datname: string }>(
      `SELECT datname FROM pg_database WHERE datname ~ '^seed_' AND datname <> $1`,
      [name],
    );
    for (const { datname } of rows) await client.query(`DROP DATABASE ${datname} WITH (FORCE)`);
  });
  return name;
}

async function onServer<Result>(url: string, work: (client: pg.Client) => Promise<Result>): Promise<Result> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    return await work(client);
  } finally {
    await client.end();
  }
}

/** The same server, another database. Addresses of unix sockets have no host, which `URL` does not read. */
function inDatabase(serverUrl: string, database: string): string {
  return serverUrl.replace(/@([^/]*)\/[^?]*/, `@$1/${database}`);
}
