import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import type { TestProject } from 'vitest/node';
import { startEmbeddedPostgres } from '../../src/embedded-postgres/embedded-postgres.js';
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
  const tearDown = async () => {
    await server.stop();
    rmSync(directory, { recursive: true, force: true });
  };
  try {
    await makeTemplate(server.url);
  } catch (error) {
    // Vitest calls what a set-up returns; one that throws returns nothing, and the server would run on.
    await tearDown();
    throw error;
  }
  project.provide('serverUrl', server.url);
  project.provide('templateDatabase', TEMPLATE_DATABASE);
  return tearDown;
}

async function makeTemplate(serverUrl: string): Promise<void> {
  const client = new pg.Client({ connectionString: serverUrl });
  await client.connect();
  try {
    await client.query(`CREATE DATABASE ${TEMPLATE_DATABASE}`);
  } finally {
    await client.end();
  }
  await migrate(withDatabase(serverUrl, TEMPLATE_DATABASE));
}
