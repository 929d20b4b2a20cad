import { readFileSync } from 'node:fs';
import pg from 'pg';
import { projectPath } from '../../src/common/project-path.js';
import { createTestDatabase, type TestDatabase } from './database.js';

/** A database as the migrations of 0.1.0 left it, without users. */
export async function createDatabaseOf010(): Promise<TestDatabase> {
  const database = await createTestDatabase({ isEmpty: true });
  // The dump has settings for the session that reads it.
  const client = new pg.Client({ connectionString: database.url });
  await client.connect();
  try {
    await client.query(readFileSync(projectPath('test/database/schema-of-0.1.0.sql'), 'utf8'));
  } finally {
    await client.end();
  }
  return database;
}
