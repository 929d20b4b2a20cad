import { DataSource } from 'typeorm';
import { loadConfig } from './src/config/load-config.js';
import { longRunningOptions } from './src/database/connection-options.js';
import { startEmbeddedPostgres } from './src/embedded-postgres/embedded-postgres.js';
import { ownerServer } from './src/database/migrate.js';
import { join } from 'node:path';

/**
 * The data source of TypeORM's command line (`npm run migration:…`): the same database the service would use,
 * as the role that owns the schema. Without `DATABASE_URL` the embedded PostgreSQL is started for it.
 */
const config = loadConfig();
const url =
  (config.databaseMigrationUrl ?? config.databaseUrl)?.reveal() ??
  (await startEmbeddedPostgres({ dataDirectory: join(config.dataDir, 'postgres') })).url;

export default new DataSource(longRunningOptions(await ownerServer(url, config.databaseSchema)));
