import { join } from 'node:path';
import { createApp } from './app.factory.js';
import { FirstAdmin } from './auth/first-admin.js';
import { Secret } from './common/secret.js';
import { type Config, ConfigurationError } from './config/config.js';
import { loadConfig } from './config/load-config.js';
import { type EmbeddedPostgres, startEmbeddedPostgres } from './database/embedded/embedded-postgres.js';
import { migrate } from './database/migrate.js';
import { stopOnSignals } from './stop.js';
import { welcome } from './welcome.js';

/** Starts the service: database, schema, application, in this order; it stops in the other. */
async function main(): Promise<void> {
  const loaded = loadConfig();
  const postgres = loaded.databaseUrl === undefined ? await startEmbedded(loaded) : undefined;
  const config = postgres === undefined ? loaded : { ...loaded, databaseUrl: new Secret(postgres.url) };
  const serviceUrl = config.databaseUrl?.reveal() ?? '';
  await migrate(config.databaseMigrationUrl?.reveal() ?? serviceUrl, serviceUrl);
  const app = await createApp(config);
  stopOnSignals(app, config, postgres);
  await app.init();
  const admin = await app.get(FirstAdmin).ensure();
  await app.listen({ port: config.port, host: config.host });
  welcome(await app.getUrl(), config, admin);
}

function startEmbedded(config: Config): Promise<EmbeddedPostgres> {
  return startEmbeddedPostgres({ dataDirectory: join(config.dataDir, 'postgres') });
}

main().catch((error: unknown) => {
  const isExpected = error instanceof ConfigurationError;
  process.stderr.write(
    `${isExpected || !(error instanceof Error) ? String(error) : (error.stack ?? error.message)}\n`,
  );
  process.exit(1);
});
