import { join } from 'node:path';
import { NestFactory } from '@nestjs/core';
import { Command } from 'commander';
import { AppModule } from '../app.module.js';
import { AdminRecovery } from '../users/admin-recovery.service.js';
import { AppError } from '../common/app-error.js';
import { projectVersion } from '../common/project-path.js';
import { StartFailure } from '../common/start-failure.js';
import type { Config } from '../config/config.js';
import { loadConfig } from '../config/load-config.js';
import { startEmbeddedPostgres } from '../embedded-postgres/embedded-postgres.js';
import { printable } from '../common/printable.js';
import { waitForDatabase } from '../database/usable-database.js';

/** PostgreSQL's code for a table that does not exist. */
const UNDEFINED_TABLE = '42P01';

const program = new Command('latchkey')
  .description(
    'Commands for the operator of a Latchkey installation. They read the same settings as the service.',
  )
  .version(projectVersion());

const admin = program.command('admin').description('Help with the accounts of admins.');

admin
  .command('reset-password')
  .description('Give an admin a new random password, print it, and end all sessions of the admin.')
  .option('--username <name>', 'the admin; default: ADMIN_USERNAME, or admin')
  .option('--json', 'print {"username", "password"}', false)
  .action(async ({ username: given, json }: { username?: string; json: boolean }) => {
    await withServices(async (app, config) => {
      const username = given ?? config.adminUsername;
      const password = (await app.get(AdminRecovery).resetPassword(username)).reveal();
      const text = json
        ? JSON.stringify({ username, password })
        : `The new password of ${username}: ${password}`;
      process.stdout.write(`${printable(text)}\n`);
    });
  });

type Services = Awaited<ReturnType<typeof NestFactory.createApplicationContext>>;

/** Runs a command with the services over the database of the settings; the embedded one is started where it does not run. */
async function withServices(command: (app: Services, config: Config) => Promise<void>): Promise<void> {
  const loaded = loadConfig();
  const postgres =
    loaded.databaseUrl === undefined
      ? await startEmbeddedPostgres({ dataDirectory: join(loaded.dataDir, 'postgres') })
      : undefined;
  try {
    const config =
      postgres === undefined ? loaded : loadConfig({ ...process.env, DATABASE_URL: postgres.url });
    const url = config.databaseUrl?.reveal() ?? '';
    await waitForDatabase({ variable: 'DATABASE_URL', url }, config.startupTimeoutSeconds, report);
    const app = await NestFactory.createApplicationContext(AppModule.forCommandLine(config), {
      logger: ['error', 'fatal'],
      abortOnError: false,
    });
    try {
      await command(app, config);
    } finally {
      await app.close();
    }
  } finally {
    await postgres?.stop();
  }
}

function report(line: string): void {
  process.stderr.write(`${line}\n`);
}

function explain(error: unknown): string {
  if (error instanceof AppError) return printable(error.message);
  if (error instanceof StartFailure) return error.message;
  if (!(error instanceof Error)) return String(error);
  const isWithoutSchema = 'code' in error && error.code === UNDEFINED_TABLE;
  return isWithoutSchema
    ? 'The database has no schema of this version yet. Start the service once.'
    : (error.stack ?? error.message);
}

try {
  await program.parseAsync();
} catch (error) {
  report(explain(error));
  process.exitCode = 1;
}
