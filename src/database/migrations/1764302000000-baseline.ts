import { readFileSync } from 'node:fs';
import type { MigrationInterface, QueryRunner } from 'typeorm';
import { StartFailure } from '../../common/start-failure.js';
import { sqlFunctions, sqlFunctionText } from '../sql-functions.js';
import { MIGRATIONS_OF_0_1_0, STEPS_FROM_0_1_0, type UpgradeStep } from './1764302000000-from-0.1.0.js';

/** Every migration that there was before the baseline, oldest first. */
export const FORMER_MIGRATIONS: readonly string[] = [
  ...MIGRATIONS_OF_0_1_0,
  ...STEPS_FROM_0_1_0.map(({ name }) => name),
];

/** What the baseline needs of the functions: triggers run them, a default calls one, two make the partitions. */
const FUNCTIONS = [
  'add_api_key_search_texts',
  'audit_log_position',
  'change_api_key_search_texts',
  'ensure_audit_log_partitions',
  'ensure_usage_event_partitions',
  'note_api_key_changes',
  'note_api_key_deletes',
  'note_api_key_inserts',
  'note_api_key_secret_changes',
  'note_api_key_updates',
  'note_everything_changed',
  'note_session_changes',
  'note_session_removals',
  'note_user_changes',
  'note_user_removals',
  'refuse_audit_log_change',
  'remove_api_key_search_texts',
];

const TABLES = [
  'api_key_count_changes',
  'api_key_counts',
  'api_key_search_backlog',
  'api_key_search_texts',
  'api_key_secrets',
  'api_key_totals',
  'api_keys',
  'audit_log_digests',
  'audit_log_numbering',
  'audit_logs',
  'audit_retention',
  'budget_accounts',
  'budget_holds',
  'budget_notices',
  'budget_periods',
  'change_feed',
  'change_feed_horizon',
  'clock_marks',
  'idempotency_keys',
  'instances',
  'login_failures',
  'pepper_fingerprints',
  'rate_windows',
  'refresh_tokens',
  'roles',
  'schema_functions',
  'schema_requirements',
  'sessions',
  'usage_events',
  'usage_hourly_rollups',
  'usage_reporters',
  'usage_request_generations',
  'usage_request_ids',
  'usage_requests',
  'usage_reversals',
  'users',
];

/**
 * The whole schema, as `1764302000000-baseline.sql` says it. It took the place of 25 migrations: a database that has all of them
 * has this schema already, and nothing in it changes. One of 0.1.0, which has the first ten, gets here by the steps of the others.
 */
export class Baseline1764302000000 implements MigrationInterface {
  readonly name = 'Baseline1764302000000';
  /** Some steps from 0.1.0 build indexes while others write, which no transaction can. */
  readonly transaction = false;

  /** @throws StartFailure when the database lacks migrations of 0.1.0 */
  async up(runner: QueryRunner): Promise<void> {
    const done = await formerMigrations(runner);
    if (done.size === 0) {
      await inTransaction(runner, createSchema);
      return;
    }
    if (MIGRATIONS_OF_0_1_0.some((name) => !done.has(name))) {
      throw new StartFailure(
        'The schema of the database is older than that of version 0.1.0 of Latchkey: upgrade it to 0.1.0 first, by starting that version.',
      );
    }
    for (const step of STEPS_FROM_0_1_0) if (!done.has(step.name)) await takeStep(runner, step);
  }

  /** Takes back what `up` did: of a schema that former migrations made, nothing. Refuses while others build on it. */
  async down(runner: QueryRunner): Promise<void> {
    if ((await formerMigrations(runner)).size > 0) return;
    const [inUse] = await runner.manager.query<unknown[]>(
      'SELECT FROM users UNION ALL SELECT FROM schema_migrations WHERE name <> $1 LIMIT 1',
      [this.name],
    );
    if (inUse !== undefined)
      throw new Error(
        'The baseline is the whole schema, and there are users or later migrations: drop the database instead.',
      );
    await inTransaction(runner, dropSchema);
  }
}

async function formerMigrations(runner: QueryRunner): Promise<Set<string>> {
  const rows = await runner.manager.query<{ name: string }[]>(
    'SELECT name FROM schema_migrations WHERE name = ANY ($1)',
    [FORMER_MIGRATIONS],
  );
  return new Set(rows.map(({ name }) => name));
}

async function createSchema(runner: QueryRunner): Promise<void> {
  // The tables that the functions name do not exist yet.
  await runner.query('SET LOCAL check_function_bodies = off');
  await runner.query(FUNCTIONS.map(sqlFunctionText).join('\n'));
  await runner.query(readFileSync(new URL('1764302000000-baseline.sql', import.meta.url), 'utf8'));
}

async function dropSchema(runner: QueryRunner): Promise<void> {
  await runner.query(`DROP TABLE ${TABLES.join(', ')} CASCADE; DROP SEQUENCE usage_event_ids`);
  const functions = await runner.manager.query<{ signature: string }[]>(
    `SELECT oid::regprocedure::text AS signature FROM pg_proc
     WHERE pronamespace = current_schema()::regnamespace AND proname = ANY ($1)`,
    [sqlFunctions().map(({ name }) => name.replace(/\.previous$/, ''))],
  );
  for (const { signature } of functions) await runner.query(`DROP FUNCTION ${signature}`);
  await runner.query('DROP EXTENSION IF EXISTS pg_trgm');
}

/** Takes a step and records it, so that an upgrade that was interrupted goes on from there. */
async function takeStep(runner: QueryRunner, { name, run, isTransaction }: UpgradeStep): Promise<void> {
  const runAndRecord = async () => {
    await run(runner);
    await runner.query('INSERT INTO schema_migrations (timestamp, name) VALUES ($1, $2)', [
      /\d+$/.exec(name)?.[0],
      name,
    ]);
  };
  await (isTransaction ? inTransaction(runner, runAndRecord) : runAndRecord());
}

async function inTransaction(
  runner: QueryRunner,
  work: (runner: QueryRunner) => Promise<void>,
): Promise<void> {
  await runner.startTransaction();
  try {
    await work(runner);
    await runner.commitTransaction();
  } catch (error) {
    await runner.rollbackTransaction();
    throw error;
  }
}
