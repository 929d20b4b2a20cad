import { join } from 'node:path';
import { createApp } from './app.factory.js';
import { setAuditRetention } from './audit/audit-retention.js';
import { FirstAdmin } from './users/first-admin.service.js';
import type { Config } from './config/config.js';
import { loadConfig } from './config/load-config.js';
import type { EmbeddedPostgres } from './embedded-postgres/embedded-postgres.js';
import { startSupervisedPostgres } from './embedded-postgres/supervised-postgres.js';
import { migrate } from './database/migrate.js';
import {
  requireSameDatabase,
  requireSchemaRights,
  temporaryTablesWarning,
  type UsableDatabase,
  waitForDatabase,
} from './database/usable-database.js';
import { OperatorOutput } from './observability/operator-output.js';
import { explainStartFailure, type StartSettings, startSettings } from './start-failures.js';
import { closeWhenDrained, Shutdown } from './stop.js';
import { announceFirstAdmin, welcome } from './welcome.js';

let output = OperatorOutput.of(process.env);
let settings: StartSettings = startSettings(process.env);
const shutdown = new Shutdown((sentence) => output.say('warn', sentence));

/** Starts the service: database, schema, application, in this order; it stops in the other. */
async function main(): Promise<void> {
  const loaded = loadConfig();
  settings = loaded;
  output = new OperatorOutput(loaded.logFormat);
  reportFailuresOfProcess();
  for (const warning of loaded.warnings) output.say('warn', warning);
  const postgres = loaded.databaseUrl === undefined ? await startEmbedded(loaded) : undefined;
  const config = postgres === undefined ? loaded : loadConfig({ ...process.env, DATABASE_URL: postgres.url });
  const { database, migrations } = await prepareDatabase(config);
  const app = await createApp(config);
  const close = closeWhenDrained(app, config, (sentence) => output.say('warn', sentence));
  await app.init();
  const admin = await app.get(FirstAdmin).ensure();
  announceFirstAdmin(admin, output);
  shutdown.add(close);
  await app.listen({ port: config.port, host: config.host });
  welcome({ url: await app.getUrl(), admin, database, migrations }, config, output);
}

/** Waits for the database, checks that it can be used, and brings its schema up to date. */
async function prepareDatabase(config: Config): Promise<{ database: UsableDatabase; migrations: string[] }> {
  const serviceUrl = config.databaseUrl?.reveal() ?? '';
  const service = { variable: 'DATABASE_URL', url: serviceUrl } as const;
  const owner =
    config.databaseMigrationUrl === undefined
      ? service
      : ({ variable: 'DATABASE_MIGRATION_URL', url: config.databaseMigrationUrl.reveal() } as const);
  const wait = (named: typeof service | typeof owner) =>
    waitForDatabase(named, config.startupTimeoutSeconds, (line) => output.say('info', line));
  const database = await wait(service);
  if (owner !== service) requireSameDatabase(database, await wait(owner));
  for (const warning of roleWarnings(config, database)) output.say('warn', warning);
  await requireSchemaRights(owner, config.databaseSchema);
  const migrations = await migrate(owner.url, serviceUrl, config.databaseSchema);
  const warning = owner === service ? undefined : await temporaryTablesWarning(service);
  if (warning !== undefined && !database.isSuperuser) output.say('warn', warning);
  await setAuditRetention(owner.url, config.auditRetentionMonths, config.databaseSchema);
  return { database, migrations };
}

/** In production the service should not be able to change its own schema, nor the audit log. */
function roleWarnings(config: Config, { isSuperuser }: UsableDatabase): string[] {
  if (!config.isProduction) return [];
  if (isSuperuser) return ['DATABASE_URL connects as a superuser. Use a role of its own for the service.'];
  if (config.databaseMigrationUrl !== undefined) return [];
  return [
    'One database role owns the schema and serves requests. Set DATABASE_MIGRATION_URL to the owner, and DATABASE_URL to a role that only uses it.',
  ];
}

/** Where the log is JSON, every line is: also those that Node would print itself. */
function reportFailuresOfProcess(): void {
  const crash = (error: unknown) => {
    output.say('fatal', error instanceof Error ? (error.stack ?? error.message) : String(error));
    void shutdown.run(1);
  };
  process.on('uncaughtException', crash);
  process.on('unhandledRejection', crash);
  if (output.format !== 'json') return;
  process.removeAllListeners('warning');
  process.on('warning', ({ name, message }) => output.say('warn', `${name}: ${message}`));
}

/** Waits for a server that is still starting when the stop begins: it would be left running. */
function startEmbedded(config: Config): Promise<EmbeddedPostgres> {
  const report = (message: string) => output.say('warn', message);
  const starting = startSupervisedPostgres({ dataDirectory: join(config.dataDir, 'postgres') }, report);
  shutdown.add(async () => {
    const postgres = await starting.catch(() => undefined);
    await postgres?.stop();
  });
  return starting;
}

main().catch(async (error: unknown) => {
  if (shutdown.hasBegun) return;
  output.say('fatal', explainStartFailure(error, settings));
  await shutdown.run(1);
});
