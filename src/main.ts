import { join } from 'node:path';
import { createApp } from './app.factory.js';
import { FirstAdmin } from './auth/first-admin.js';
import { type Config, ConfigurationError } from './config/config.js';
import { loadConfig } from './config/load-config.js';
import { EmbeddedPostgresError } from './database/embedded/embedded-postgres-error.js';
import type { EmbeddedPostgres } from './database/embedded/embedded-postgres.js';
import { startSupervisedPostgres } from './database/embedded/supervised-postgres.js';
import { migrate } from './database/migrate.js';
import { closeWhenDrained, Shutdown } from './stop.js';
import { welcome } from './welcome.js';

const shutdown = new Shutdown();

/** Starts the service: database, schema, application, in this order; it stops in the other. */
async function main(): Promise<void> {
  const loaded = loadConfig();
  const postgres = loaded.databaseUrl === undefined ? await startEmbedded(loaded) : undefined;
  const config = postgres === undefined ? loaded : loadConfig({ ...process.env, DATABASE_URL: postgres.url });
  const serviceUrl = config.databaseUrl?.reveal() ?? '';
  await migrate(config.databaseMigrationUrl?.reveal() ?? serviceUrl, serviceUrl);
  const app = await createApp(config);
  const close = closeWhenDrained(app, config.shutdownTimeoutSeconds);
  await app.init();
  const admin = await app.get(FirstAdmin).ensure();
  shutdown.add(close);
  await app.listen({ port: config.port, host: config.host });
  welcome(await app.getUrl(), config, admin);
}

/** A server that is still starting when the process is told to stop is waited for: it would be left running. */
function startEmbedded(config: Config): Promise<EmbeddedPostgres> {
  const report = (message: string) => void process.stderr.write(`${message}\n`);
  const starting = startSupervisedPostgres({ dataDirectory: join(config.dataDir, 'postgres') }, report);
  shutdown.add(async () => {
    const postgres = await starting.catch(() => undefined);
    await postgres?.stop();
  });
  return starting;
}

main().catch(async (error: unknown) => {
  if (shutdown.hasBegun) return;
  const isExpected = error instanceof ConfigurationError || error instanceof EmbeddedPostgresError;
  const text = isExpected ? error.message : error instanceof Error ? error.stack : String(error);
  process.stderr.write(`${text ?? String(error)}\n`);
  await shutdown.run(1);
});
