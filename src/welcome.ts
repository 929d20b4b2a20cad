import type { FirstAdminMade } from './auth/first-admin.js';
import type { Config } from './config/config.js';
import { DOCS_PATH } from './http/api-document.js';

/** Tells the person who started the service where it is and, on the first start, how to log in. */
export function welcome(url: string, config: Config, admin: FirstAdminMade | undefined): void {
  const lines = [
    '',
    'Latchkey is ready.',
    `  API:   ${url}/api/v1`,
    `  Docs:  ${url}/${DOCS_PATH}`,
    `  Admin: ${admin?.username ?? config.adminUsername}`,
  ];
  if (admin?.madePassword !== undefined) {
    lines.push(`  Password: ${admin.madePassword.reveal()}   (made now and shown only this once)`);
  }
  process.stdout.write(`${lines.join('\n')}\n\n`);
}
