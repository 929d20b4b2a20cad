import type { QueryRunner } from 'typeorm';
import { sqlFunctionText } from '../sql-functions.js';
import { partitionsOf, withShortLocks } from './short-locks.js';

/** A step of the upgrade from 0.1.0 to the baseline. It is recorded under the name of the migration that it was. */
export interface UpgradeStep {
  readonly name: string;
  readonly run: (runner: QueryRunner) => Promise<void>;
  /** False: indexes are built while others write, and what ran before a failure may run again. */
  readonly isTransaction: boolean;
}

/** What a database of 0.1.0 has of the migrations before the baseline. */
export const MIGRATIONS_OF_0_1_0 = [
  'CreateUsers1763800000000',
  'CreateApiKeys1763800100000',
  'CreateAuditLogs1763800200000',
  'CreateRateWindows1763800300000',
  'CreateChangeFeed1763800400000',
  'CreateBudgetAccounts1763800500000',
  'CreateUsage1763800600000',
  'CreateBudgetLedger1763800700000',
  'IndexUsageRollups1763800800000',
  'CreateSearchTexts1763800900000',
];

/**
 * What leads from the schema of 0.1.0 to that of the baseline, while instances of 0.1.0 go on working. It goes with
 * the next baseline, which takes the place of this one.
 */
export const STEPS_FROM_0_1_0: readonly UpgradeStep[] = [
  { name: 'CreateSchemaFunctions1764300000000', run: createSchemaFunctions, isTransaction: true },
  {
    name: 'ChangeSearchTextsByStatement1764300300000',
    run: changeSearchTextsByStatement,
    isTransaction: true,
  },
  { name: 'IndexEndedApiKeys1764300300010', run: indexEndedApiKeys, isTransaction: false },
  { name: 'NumberAuditLogs1764300300020', run: numberAuditLogs, isTransaction: true },
  { name: 'IndexAuditLogNumbers1764300300030', run: indexAuditLogNumbers, isTransaction: false },
  { name: 'CreateKeyLineage1764300400000', run: createKeyLineage, isTransaction: true },
  { name: 'KnowReporters1764300500000', run: knowReporters, isTransaction: false },
  { name: 'DescribeSecrets1764300700000', run: describeSecrets, isTransaction: true },
  { name: 'KeepSeveralRetiringSecrets1764300700001', run: keepSeveralRetiringSecrets, isTransaction: false },
  { name: 'IndexExpiries1764300700002', run: indexExpiries, isTransaction: false },
  { name: 'FoldSearchTexts1764300700003', run: foldSearchTexts, isTransaction: true },
  { name: 'CreateStartChecks1764300800000', run: createStartChecks, isTransaction: true },
  { name: 'KeepPeriodsAndTime1764300900000', run: keepPeriodsAndTime, isTransaction: false },
  { name: 'KeepRequestIdsInGenerations1764301200000', run: keepRequestIdsInGenerations, isTransaction: true },
  { name: 'ProveDroppedAuditMonths1764301200001', run: proveDroppedAuditMonths, isTransaction: true },
];

const KEY_COLUMNS = 3;

/**
 * What the database has of the files in `src/<module>/sql`: a hash for each function. From here on functions are changed
 * in those files and never by a migration.
 */
async function createSchemaFunctions(runner: QueryRunner): Promise<void> {
  await runner.query(`
    CREATE TABLE schema_functions (
      name text CONSTRAINT schema_functions_pkey PRIMARY KEY,
      hash text NOT NULL
    );
  `);
}

/**
 * Search texts follow their keys once for each statement. The trigger fired for each row until now, which took half of the
 * time in which the keys of a user ended.
 */
async function changeSearchTextsByStatement(runner: QueryRunner): Promise<void> {
  await runner.query(`
    ${sqlFunctionText('change_api_key_search_texts')}
    DROP TRIGGER api_keys_search_updates ON api_keys;
    CREATE TRIGGER api_keys_search_updates AFTER UPDATE ON api_keys
      REFERENCING OLD TABLE AS before_rows NEW TABLE AS after_rows
      FOR EACH STATEMENT EXECUTE FUNCTION change_api_key_search_texts()`);
}

/** Finds the keys of a user that have ended: their usage counts in the sums of the user. */
async function indexEndedApiKeys(runner: QueryRunner): Promise<void> {
  await runner.query('DROP INDEX CONCURRENTLY IF EXISTS api_keys_ended_idx');
  await runner.query(
    'CREATE INDEX CONCURRENTLY api_keys_ended_idx ON api_keys (user_id, id) WHERE deleted_at IS NOT NULL',
  );
}

/**
 * Numbers rows of the audit log by their transaction, so that collectors can read them in the order in which they became
 * visible. Rows that are there have no number: they are older than all others. Says how long the log is kept, in a table
 * that only the owner of the schema may change.
 */
async function numberAuditLogs(runner: QueryRunner): Promise<void> {
  await runner.query(`
    SET LOCAL lock_timeout = '5s';
    CREATE TABLE audit_log_numbering (
      only_row boolean NOT NULL DEFAULT true CONSTRAINT audit_log_numbering_pkey PRIMARY KEY CHECK (only_row),
      base bigint NOT NULL,
      unnumbered_until timestamptz
    );
    CREATE TABLE audit_retention (
      only_row boolean NOT NULL DEFAULT true CONSTRAINT audit_retention_pkey PRIMARY KEY CHECK (only_row),
      months integer CONSTRAINT audit_retention_months_check CHECK (months > 0)
    );
    INSERT INTO audit_retention (months) VALUES (NULL);
    ${sqlFunctionText('audit_log_position')}
    ALTER TABLE audit_logs ADD COLUMN position bigint;
    ALTER TABLE audit_logs ALTER COLUMN position SET DEFAULT audit_log_position();
    INSERT INTO audit_log_numbering (base, unnumbered_until) SELECT 0, max(created_at) FROM audit_logs;
  `);
}

/** Finds rows of the audit log by their number. Made partition by partition, while the log is written. */
async function indexAuditLogNumbers(runner: QueryRunner): Promise<void> {
  await runner.query(`
    DROP INDEX IF EXISTS audit_logs_position_idx;
    CREATE INDEX audit_logs_position_idx ON ONLY audit_logs (position, id) WHERE position IS NOT NULL`);
  const partitions = (await runner.query(
    `SELECT relname AS name FROM pg_inherits JOIN pg_class ON pg_class.oid = inhrelid
     WHERE inhparent = 'audit_logs'::regclass ORDER BY 1`,
  )) as { name: string }[];
  for (const { name } of partitions) {
    const index = `${name}_position_id_idx`;
    // One that was begun and not finished is of no use.
    await runner.query(`DROP INDEX CONCURRENTLY IF EXISTS "${index}"`);
    await runner.query(
      `CREATE INDEX CONCURRENTLY "${index}" ON "${name}" (position, id) WHERE position IS NOT NULL`,
    );
    await runner.query(`ALTER INDEX audit_logs_position_idx ATTACH PARTITION "${index}"`);
  }
}

/**
 * The key that a key was created with. A parent is older than its child, so that no chain of parents ever closes. The
 * column is new and empty: its foreign key needs no check of the rows, and the other check is left out for them.
 */
async function createKeyLineage(runner: QueryRunner): Promise<void> {
  await runner.query(`
    ALTER TABLE api_keys
      ADD COLUMN parent_key_id bigint CONSTRAINT api_keys_parent_key_id_fkey REFERENCES api_keys (id),
      ADD CONSTRAINT api_keys_parent_key_id_check CHECK (parent_key_id < id) NOT VALID;
    CREATE INDEX api_keys_parent_key_id_idx ON api_keys (parent_key_id) WHERE parent_key_id IS NOT NULL;
  `);
}

/**
 * Who reported an event and who took a hold. A reporter is the API key that the caller used, or minus the id of the user
 * for one with a session, so that one number tells both apart; 0 where instances of the version before wrote. Request
 * ids belong to their reporter, and events have ids of their own, by which one is found to be taken back.
 *
 * Indexes are built while others write, which no transaction can: what ran before a failure may run again.
 */
async function knowReporters(runner: QueryRunner): Promise<void> {
  await withShortLocks(
    runner,
    `
    ALTER TABLE usage_events ADD COLUMN IF NOT EXISTS id bigint, ADD COLUMN IF NOT EXISTS reported_by_user_id bigint,
      ADD COLUMN IF NOT EXISTS reported_by_api_key_id bigint;
    CREATE SEQUENCE IF NOT EXISTS usage_event_ids CACHE 100;
    ALTER TABLE usage_request_ids ADD COLUMN IF NOT EXISTS reporter bigint NOT NULL DEFAULT 0,
      ADD COLUMN IF NOT EXISTS event_id bigint, ADD COLUMN IF NOT EXISTS content_digest integer;
    ALTER TABLE budget_holds ADD COLUMN IF NOT EXISTS taken_by_user_id bigint,
      ADD COLUMN IF NOT EXISTS taken_by_api_key_id bigint;
    ALTER TABLE budget_accounts ADD COLUMN IF NOT EXISTS spent_since timestamptz;

    -- Since when every request id has its reporter; those from before are looked for as well, for as long as they are kept.
    CREATE TABLE IF NOT EXISTS usage_reporters (known_since timestamptz NOT NULL);
    INSERT INTO usage_reporters (known_since)
      SELECT CASE WHEN EXISTS (SELECT FROM usage_request_ids) THEN now() ELSE '-infinity' END
      WHERE NOT EXISTS (SELECT FROM usage_reporters);

    CREATE TABLE IF NOT EXISTS usage_reversals (
      event_id bigint CONSTRAINT usage_reversals_pkey PRIMARY KEY,
      api_key_id bigint NOT NULL,
      reversed_by_user_id bigint NOT NULL,
      reversed_by_api_key_id bigint,
      reversed_at timestamptz NOT NULL
    );
  `,
  );
  await replaceIndexOfHolds(runner);
  await replaceKeyOfRequestIds(runner);
  await indexEvents(runner);
}

async function replaceIndexOfHolds(runner: QueryRunner): Promise<void> {
  await runner.query('DROP INDEX CONCURRENTLY IF EXISTS budget_holds_request_taker_key');
  await runner.query(`
    CREATE UNIQUE INDEX CONCURRENTLY budget_holds_request_taker_key
      ON budget_holds (api_key_id, request_id, coalesce(taken_by_api_key_id, -taken_by_user_id))
      WHERE request_id IS NOT NULL`);
  await runner.query('DROP INDEX CONCURRENTLY IF EXISTS budget_holds_request_key');
}

async function replaceKeyOfRequestIds(runner: QueryRunner): Promise<void> {
  const [key] = await runner.manager.query<{ columns: number }[]>(
    `SELECT cardinality(conkey) AS columns FROM pg_constraint
     WHERE conrelid = 'usage_request_ids'::regclass AND contype = 'p'`,
  );
  if (key?.columns === KEY_COLUMNS) return;
  const partitions = await partitionsOf(runner, 'usage_request_ids');
  for (const partition of partitions) {
    await runner.query(`DROP INDEX CONCURRENTLY IF EXISTS ${partition}_key`);
    await runner.query(
      `CREATE UNIQUE INDEX CONCURRENTLY ${partition}_key ON ${partition} (api_key_id, request_id, reporter)`,
    );
  }
  await withShortLocks(
    runner,
    `
    ALTER TABLE usage_request_ids DROP CONSTRAINT usage_request_ids_pkey;
    ${partitions
      .map(
        (partition) =>
          `ALTER TABLE ${partition} ADD CONSTRAINT ${partition}_pkey PRIMARY KEY USING INDEX ${partition}_key;`,
      )
      .join('\n')}
    ALTER TABLE usage_request_ids
      ADD CONSTRAINT usage_request_ids_pkey PRIMARY KEY (api_key_id, request_id, reporter);
  `,
  );
}

/** Ids grow as rows are added, so a block range index finds one, and costs next to nothing as they come. */
async function indexEvents(runner: QueryRunner): Promise<void> {
  await runner.query(
    'CREATE INDEX IF NOT EXISTS usage_events_id_idx ON ONLY usage_events USING brin (id) WITH (autosummarize = on)',
  );
  for (const partition of await partitionsOf(runner, 'usage_events')) {
    const index = `${partition}_id_idx`;
    const [state] = await runner.manager.query<{ is_attached: boolean }[]>(
      `SELECT relispartition AS is_attached FROM pg_class WHERE oid = to_regclass('${index}')`,
    );
    if (state?.is_attached) continue;
    await runner.query(`DROP INDEX CONCURRENTLY IF EXISTS ${index}`);
    await runner.query(
      `CREATE INDEX CONCURRENTLY ${index} ON ${partition} USING brin (id) WITH (autosummarize = on)`,
    );
    await runner.query(`ALTER INDEX usage_events_id_idx ATTACH PARTITION ${index}`);
  }
}

/** What is shown of a secret: its first characters and its last use. No row is rewritten. */
async function describeSecrets(runner: QueryRunner): Promise<void> {
  await runner.query(
    'ALTER TABLE api_key_secrets ADD COLUMN key_prefix text, ADD COLUMN last_used_at timestamptz',
  );
}

/** Several secrets of a key may retire at once. The version before keeps to one, and works with either index. */
async function keepSeveralRetiringSecrets(runner: QueryRunner): Promise<void> {
  // What an interrupted run left is invalid, and is made anew.
  await runner.query('DROP INDEX CONCURRENTLY IF EXISTS api_key_secrets_retiring_idx');
  await runner.query(
    `CREATE INDEX CONCURRENTLY api_key_secrets_retiring_idx ON api_key_secrets (api_key_id)
     WHERE retires_at IS NOT NULL`,
  );
  await runner.query('DROP INDEX CONCURRENTLY IF EXISTS api_key_secrets_retiring_key');
}

/** Lists of keys by their expiry, of everyone and of one owner. A key that never expires stands after all others. */
async function indexExpiries(runner: QueryRunner): Promise<void> {
  // What an interrupted run left is invalid, and is made anew.
  await runner.query('DROP INDEX CONCURRENTLY IF EXISTS api_keys_expiry_idx');
  await runner.query(
    `CREATE INDEX CONCURRENTLY api_keys_expiry_idx ON api_keys ((coalesce(expires_at, 'infinity'::timestamptz)), id)
     WHERE deleted_at IS NULL`,
  );
  await runner.query('DROP INDEX CONCURRENTLY IF EXISTS api_keys_owner_expiry_idx');
  await runner.query(
    `CREATE INDEX CONCURRENTLY api_keys_owner_expiry_idx
     ON api_keys (user_id, (coalesce(expires_at, 'infinity'::timestamptz)), id) WHERE deleted_at IS NULL`,
  );
}

/**
 * Search texts are folded by a function of ours from here on. Those that are there already are folded by a job, the
 * newest first: of keys below `below`, texts may still be as the database's locale left them. The largest number says
 * that the job has not begun, 0 that it is done.
 */
async function foldSearchTexts(runner: QueryRunner): Promise<void> {
  await runner.query(`
    CREATE TABLE api_key_search_backlog (
      only_row boolean NOT NULL DEFAULT true CONSTRAINT api_key_search_backlog_pkey PRIMARY KEY CHECK (only_row),
      below bigint NOT NULL
    );
    INSERT INTO api_key_search_backlog (below)
      SELECT CASE WHEN EXISTS (SELECT FROM api_key_search_texts) THEN ${Number.MAX_SAFE_INTEGER} ELSE 0 END;
  `);
}

/**
 * What an instance compares itself with before it serves. `schema_requirements` names migrations that a version has to know to
 * work on this schema: one that takes something away names itself there, one that only adds does not.
 * `pepper_fingerprints` tells whether a pepper is the one that was used under its version before.
 */
async function createStartChecks(runner: QueryRunner): Promise<void> {
  await runner.query(`
    CREATE TABLE schema_requirements (
      migration text NOT NULL CONSTRAINT schema_requirements_pkey PRIMARY KEY
    );
    CREATE TABLE pepper_fingerprints (
      pepper_version integer NOT NULL CONSTRAINT pepper_fingerprints_pkey PRIMARY KEY,
      fingerprint bytea NOT NULL,
      created_at timestamptz NOT NULL DEFAULT now(),
      CONSTRAINT pepper_fingerprints_fingerprint_check CHECK (octet_length(fingerprint) = 32)
    );
  `);
}

/**
 * What lasts over a jump of the clock, and over long readers. The periods that accounts are not in are kept, so that an
 * account can come back to its month; the clock that was last seen is written down; events of a day without a partition
 * have one that takes them; and request ids have an index by the time of receipt, by which the old are found.
 *
 * Indexes are built while others write, which no transaction can: what ran before a failure may run again.
 */
async function keepPeriodsAndTime(runner: QueryRunner): Promise<void> {
  await withShortLocks(
    runner,
    `
    CREATE TABLE IF NOT EXISTS budget_periods (
      account_id bigint NOT NULL CONSTRAINT budget_periods_account_id_fkey REFERENCES budget_accounts (id),
      period_number integer NOT NULL,
      period_start timestamptz NOT NULL,
      spent_micro_cents bigint NOT NULL,
      held_micro_cents bigint NOT NULL,
      spent_since timestamptz,
      CONSTRAINT budget_periods_pkey PRIMARY KEY (account_id, period_number)
    );
    CREATE INDEX IF NOT EXISTS budget_periods_period_start_idx ON budget_periods (period_start);
    ALTER TABLE budget_accounts ADD COLUMN IF NOT EXISTS newest_period_number integer;

    CREATE TABLE IF NOT EXISTS clock_marks (
      id boolean NOT NULL DEFAULT true CONSTRAINT clock_marks_pkey PRIMARY KEY,
      seen_at timestamptz NOT NULL,
      jump text,
      CONSTRAINT clock_marks_id_check CHECK (id),
      CONSTRAINT clock_marks_jump_check CHECK (jump IN ('seen', 'found'))
    );
  `,
  );
  await takeOtherDays(runner);
  await indexRequestIds(runner);
}

/** Made beside the table and attached: making it as a partition would wait for every reader, and all events for it. */
async function takeOtherDays(runner: QueryRunner): Promise<void> {
  const [found] = await runner.manager.query<{ is_there: boolean }[]>(
    `SELECT to_regclass('usage_events_other_days') IS NOT NULL AS is_there`,
  );
  if (found?.is_there) return;
  await withShortLocks(
    runner,
    `
    CREATE TABLE usage_events_other_days (LIKE usage_events INCLUDING DEFAULTS);
    ALTER TABLE usage_events ATTACH PARTITION usage_events_other_days DEFAULT;
  `,
  );
}

async function indexRequestIds(runner: QueryRunner): Promise<void> {
  for (const partition of await partitionsOf(runner, 'usage_request_ids')) {
    const [index] = await runner.manager.query<{ is_valid: boolean }[]>(
      `SELECT indisvalid AS is_valid FROM pg_index WHERE indexrelid = to_regclass('${partition}_received_at')`,
    );
    if (index?.is_valid !== true) {
      await runner.query(`DROP INDEX CONCURRENTLY IF EXISTS ${partition}_received_at`);
      await runner.query(`CREATE INDEX CONCURRENTLY ${partition}_received_at ON ${partition} (received_at)`);
    }
    // The block range index that it replaces goes blind once freed pages take new rows.
    await runner.query(`DROP INDEX CONCURRENTLY IF EXISTS ${partition}_received_at_idx`);
  }
}

/**
 * Request ids by generation: one takes the new ids, the one before is only looked into, and what is older is dropped whole.
 * `usage_request_ids` takes no more. Its ids stay where they are, as generation 0, until they are old: instances of the
 * version before go on deleting from it.
 */
async function keepRequestIdsInGenerations(runner: QueryRunner): Promise<void> {
  await runner.query(`
    CREATE TABLE usage_request_generations (
      number integer NOT NULL CONSTRAINT usage_request_generations_pkey PRIMARY KEY,
      began_at timestamptz NOT NULL,
      -- When the next one began; null for the one that takes the new ids.
      ended_at timestamptz
    );
    CREATE TABLE usage_requests (
      api_key_id bigint NOT NULL,
      reporter bigint NOT NULL,
      event_id bigint NOT NULL,
      received_at timestamptz NOT NULL,
      generation integer NOT NULL,
      content_digest integer,
      request_id text COLLATE "C" NOT NULL
    ) PARTITION BY LIST (generation);
    -- The columns of the key leave out the generation: in a partition it is always the same.
    CREATE TABLE usage_requests_1 PARTITION OF usage_requests (
      CONSTRAINT usage_requests_1_pkey PRIMARY KEY (api_key_id, request_id, reporter)
    ) FOR VALUES IN (1);
    INSERT INTO usage_request_generations (number, began_at) VALUES (1, now());

    -- Until the functions are replaced, instances of the version before may still add ids to the table of before, though it
    -- was empty a moment ago. Only where there is no user yet there is no such instance.
    INSERT INTO usage_request_generations (number, began_at, ended_at)
      SELECT 0, '-infinity', now() WHERE EXISTS (SELECT FROM users);
  `);
}

/**
 * The month of the audit log that is being dropped, and what was read of it so far: a digest of its rows goes into the log
 * before they are gone.
 */
async function proveDroppedAuditMonths(runner: QueryRunner): Promise<void> {
  await runner.query(`
    CREATE TABLE audit_log_digests (
      month text NOT NULL CONSTRAINT audit_log_digests_pkey PRIMARY KEY,
      row_count bigint NOT NULL DEFAULT 0,
      first_id uuid,
      first_created_at timestamptz,
      last_id uuid,
      last_created_at timestamptz,
      digest bytea NOT NULL DEFAULT '',
      CONSTRAINT audit_log_digests_month_check CHECK (month ~ '^\\d{4}_\\d\\d$')
    )`);
}
