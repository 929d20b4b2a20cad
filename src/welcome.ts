import { relative } from 'node:path';
import type { FirstAdminState } from './users/first-admin.service.js';
import { projectVersion } from './common/project-path.js';
import type { Config } from './config/config.js';
import { redisHosts } from './config/redis-hosts.js';
import type { UsableDatabase } from './database/usable-database.js';
import { DOCS_PATH } from './contract/api-document.js';
import type { OperatorOutput } from './observability/operator-output.js';

const RESET_PASSWORD = 'npx latchkey admin reset-password';

/** What a start reports when the service is ready. */
export interface StartReport {
  readonly url: string;
  readonly admin: FirstAdminState;
  readonly database: UsableDatabase;
  /** Names of the migrations that this start has run. */
  readonly migrations: readonly string[];
}

/**
 * Shows the generated password of the first admin as soon as the admin exists, before anything else can fail. JSON logs
 * are collected and kept, so they get the password only when no file could be written.
 */
export function announceFirstAdmin(admin: FirstAdminState, output: OperatorOutput): void {
  const { username, generatedPassword: password, passwordFile: file } = admin;
  if (password === undefined) return;
  const kept = file === undefined ? 'It is shown only this once.' : `${shown(file)} keeps it until then.`;
  output.show(
    [
      'The first admin was created. Log in and set a password of your own.',
      `  Admin:    ${username}`,
      `  Password: ${password.reveal()}`,
      `  ${kept}`,
      `  Lost? ${RESET_PASSWORD}`,
    ],
    'The first admin was created.',
    {
      admin: username,
      ...(file === undefined ? { password: password.reveal() } : { password_file: file }),
      reset_password: RESET_PASSWORD,
    },
  );
}

/** Tells the operator that the service is ready, where it is and what it runs on. */
export function welcome(
  { url, admin, database, migrations }: StartReport,
  config: Config,
  output: OperatorOutput,
): void {
  const { username, passwordFile } = admin;
  const lines = [
    'Latchkey is ready.',
    `  API:   ${url}/api/v1`,
    `  Docs:  ${url}/${DOCS_PATH}`,
    `  Admin: ${username}${passwordFile === undefined ? '' : ` (password in ${shown(passwordFile)})`}`,
    `  Password lost? ${RESET_PASSWORD}`,
  ];
  output.show(lines, 'ready', {
    version: projectVersion(),
    api: `${url}/api/v1`,
    docs: `${url}/${DOCS_PATH}`,
    database: `${database.address.server}/${database.address.database}`,
    database_version: database.version,
    migrations,
    redis: config.redisUrl === undefined ? null : redisHosts(config.redisUrl.reveal()),
    admin: username,
    reset_password: RESET_PASSWORD,
  });
}

function shown(path: string): string {
  const short = relative(process.cwd(), path);
  return short.startsWith('..') ? path : short;
}
