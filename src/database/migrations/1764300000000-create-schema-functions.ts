import type { MigrationInterface, QueryRunner } from 'typeorm';

/**
 * What the database has of the files in `src/<module>/sql`: a hash for each function. From here on functions are changed
 * in those files and never by a migration.
 */
export class CreateSchemaFunctions1764300000000 implements MigrationInterface {
  readonly name = 'CreateSchemaFunctions1764300000000';

  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      CREATE TABLE schema_functions (
        name text CONSTRAINT schema_functions_pkey PRIMARY KEY,
        hash text NOT NULL
      );
    `);
  }

  /** Earlier migrations drop the functions that they created; the files may have brought more. */
  async down(runner: QueryRunner): Promise<void> {
    await runner.query('DROP TABLE schema_functions');
    await runner.query(`
      DO $$ DECLARE function regprocedure; BEGIN
        FOR function IN
          SELECT oid FROM pg_proc WHERE pronamespace = current_schema()::regnamespace
            AND oid <> ALL (ARRAY[${EARLIER_FUNCTIONS.map((signature) => `'${signature}'`).join(', ')}]::regprocedure[])
            AND NOT EXISTS (SELECT FROM pg_depend WHERE objid = pg_proc.oid AND deptype = 'e')
        LOOP EXECUTE format('DROP FUNCTION %s CASCADE', function); END LOOP;
      END $$`);
  }
}

/** The functions of the migrations before this one. */
const EARLIER_FUNCTIONS = [
  'accounts_of_holds(uuid[])',
  'add_api_key_search_texts()',
  'api_key_search_text(text,text)',
  'budget_chains(bigint[])',
  'budget_month(timestamptz)',
  'budget_state(budget_accounts,integer)',
  'budget_states(bigint[])',
  'change_api_key_search_text()',
  'charge_budget_accounts(bigint[],bigint[],bigint[])',
  'charge_usage(bigint[],bigint[],uuid[],bigint[])',
  'close_holds(uuid[],boolean)',
  'drop_usage_event_partitions(date)',
  'earliest_hold_expiry(bigint)',
  'ensure_audit_log_partitions(date,integer)',
  'ensure_budget_accounts(bigint[])',
  'ensure_usage_event_partitions(date,integer)',
  'extend_holds(uuid[],integer[])',
  'find_holds(uuid[])',
  'fold_api_key_counts()',
  'grant_all_holds(uuid[],bigint[],bigint[],integer[],text[],bigint[],bigint[],timestamptz)',
  'grant_holds(uuid[],bigint[],bigint[],integer[],text[])',
  'judge_usage(bigint[],text[],uuid[],bigint[])',
  'keys_under_accounts(bigint[])',
  'lock_budget_accounts(bigint[])',
  'lock_budgets(bigint[],uuid[])',
  'note_api_key_changes()',
  'note_api_key_deletes()',
  'note_api_key_inserts()',
  'note_api_key_secret_changes()',
  'note_api_key_updates()',
  'note_changes(text,bigint[])',
  'note_everything_changed()',
  'note_session_changes()',
  'note_session_removals()',
  'note_user_changes()',
  'note_user_removals()',
  'notice_budget_thresholds(bigint[])',
  'record_usage(bigint[],text[],text[],text[],text[],bigint[],bigint[],bigint[],integer[],bigint[],timestamptz[],uuid[])',
  'refuse_audit_log_change()',
  'release_holds(uuid[])',
  'remove_api_key_search_texts()',
  'set_budget_limit(bigint,bigint,text)',
  'sweep_lapsed_holds(integer,bigint[])',
];
