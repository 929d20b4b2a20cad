import type { MigrationInterface, QueryRunner } from 'typeorm';
import { partitionsOf, withShortLocks } from './short-locks.js';

/**
 * Who reported an event and who took a hold. A reporter is the API key that the caller used, or minus the id of the user
 * for one with a session, so that one number tells both apart; 0 where instances of the version before wrote. Request
 * ids belong to their reporter, and events have ids of their own, by which one is found to be taken back.
 *
 * Indexes are built while others write, which no transaction can: what ran before a failure may run again.
 */
export class KnowReporters1764300500000 implements MigrationInterface {
  readonly name = 'KnowReporters1764300500000';
  readonly transaction = false;

  async up(runner: QueryRunner): Promise<void> {
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
    await this.#replaceIndexOfHolds(runner);
    await this.#replaceKeyOfRequestIds(runner);
    await this.#indexEvents(runner);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query(`
      DROP INDEX usage_events_id_idx;
      ALTER TABLE usage_events DROP COLUMN id, DROP COLUMN reported_by_user_id, DROP COLUMN reported_by_api_key_id;
      DROP SEQUENCE usage_event_ids;
      ALTER TABLE usage_request_ids DROP CONSTRAINT usage_request_ids_pkey;
      ALTER TABLE usage_request_ids ADD CONSTRAINT usage_request_ids_pkey PRIMARY KEY (api_key_id, request_id),
        DROP COLUMN reporter, DROP COLUMN event_id, DROP COLUMN content_digest;
      DROP INDEX budget_holds_request_taker_key;
      CREATE UNIQUE INDEX budget_holds_request_key ON budget_holds (api_key_id, request_id) WHERE request_id IS NOT NULL;
      ALTER TABLE budget_holds DROP COLUMN taken_by_user_id, DROP COLUMN taken_by_api_key_id;
      ALTER TABLE budget_accounts DROP COLUMN spent_since;
      DROP TABLE usage_reporters, usage_reversals;
      -- What the functions' files have replaced since, for earlier migrations to drop.
      CREATE FUNCTION grant_all_holds(uuid[], bigint[], bigint[], integer[], text[], bigint[], bigint[], timestamptz)
        RETURNS void LANGUAGE sql AS '';
      CREATE FUNCTION judge_usage(bigint[], text[], uuid[], bigint[]) RETURNS void LANGUAGE sql AS '';
    `);
  }

  async #replaceIndexOfHolds(runner: QueryRunner): Promise<void> {
    await runner.query('DROP INDEX CONCURRENTLY IF EXISTS budget_holds_request_taker_key');
    await runner.query(`
      CREATE UNIQUE INDEX CONCURRENTLY budget_holds_request_taker_key
        ON budget_holds (api_key_id, request_id, coalesce(taken_by_api_key_id, -taken_by_user_id))
        WHERE request_id IS NOT NULL`);
    await runner.query('DROP INDEX CONCURRENTLY IF EXISTS budget_holds_request_key');
  }

  async #replaceKeyOfRequestIds(runner: QueryRunner): Promise<void> {
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
  async #indexEvents(runner: QueryRunner): Promise<void> {
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
}

const KEY_COLUMNS = 3;
