import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import type { TestProject } from 'vitest/node';
import { startEmbeddedPostgres } from '../../src/database/embedded/embedded-postgres.js';
import { migrate } from '../../src/database/migrate.js';
import { withDatabase } from './database-url.js';

declare module 'vitest' {
  interface ProvidedContext {
    /** The server that all tests share, as its superuser; its database is never used itself. */
    readonly serverUrl: string;
    /** A migrated, empty database to clone. */
    readonly templateDatabase: string;
  }
}

const TEMPLATE_DATABASE = 'latchkey_template';

/** One real PostgreSQL for the run, and one database built by the migrations, which each test file clones. */
export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const directory = mkdtempSync(join(tmpdir(), 'latchkey-tests-'));
  // Tests do not survive a crash of the machine: without fsync they are several times faster.
  const settings = {
    fsync: 'off',
    synchronous_commit: 'off',
    full_page_writes: 'off',
    max_connections: '400',
  };
  const server = await startEmbeddedPostgres({
    dataDirectory: join(directory, 'postgres'),
    database: 'postgres',
    settings,
  });
  const client = new pg.Client({ connectionString: server.url });
  await client.connect();
  await client.query(`CREATE DATABASE ${TEMPLATE_DATABASE}`);
  await client.end();
  await migrate(withDatabase(server.url, TEMPLATE_DATABASE));
  project.provide('serverUrl', server.url);
  project.provide('templateDatabase', TEMPLATE_DATABASE);
  return async () => {
    await server.stop();
    rmSync(directory, { recursive: true, force: true });
  };
}
