import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import type { BenchDatabase } from './seeded-database.js';

/** Long enough for every session to take a changed setting, and for the log to be written. */
const SETTLE_MS = 300;

/** What `work` makes each application send to PostgreSQL, by `application_name`; white space that means nothing is taken away. */
export async function statementsDuring(
  database: BenchDatabase,
  work: () => Promise<void>,
): Promise<Map<string, string[]>> {
  await logStatements(database, 'all');
  const begin = readFileSync(database.logFile).length;
  await work();
  await sleep(SETTLE_MS);
  const log = readFileSync(database.logFile).subarray(begin).toString('utf8');
  await logStatements(database, 'none');
  const statements = new Map<string, string[]>();
  // The lines of an entry after its first begin with a tab.
  for (const entry of log.split(/\n(?!\t)/)) {
    const [, application = '', statement = ''] =
      /^\[(.*?)\] LOG: {2}(?:statement|execute [^:]+): (.*)$/s.exec(entry) ?? [];
    const text = statement
      .replace(/\s+/g, ' ')
      .replace(/ ?([(),]) ?/g, '$1')
      .trim();
    if (text !== '') statements.set(application, [...(statements.get(application) ?? []), text]);
  }
  return statements;
}

async function logStatements(database: BenchDatabase, which: 'all' | 'none'): Promise<void> {
  await database.query(`ALTER SYSTEM SET log_statement = '${which}'`);
  await database.query('SELECT pg_reload_conf()');
  await sleep(SETTLE_MS);
}
