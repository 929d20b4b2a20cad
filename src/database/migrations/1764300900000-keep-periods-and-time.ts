import type { MigrationInterface, QueryRunner } from 'typeorm';
import { partitionsOf, withShortLocks } from './short-locks.js';

/**
 * What lasts over a jump of the clock, and over long readers. The periods that accounts are not in are kept, so that an
 * account can come back to its month; the clock that was last seen is written down; events of a day without a partition
 * have one that takes them; and request ids have an index by the time of receipt, by which the old are found.
 *
 * Indexes are built while others write, which no transaction can: what ran before a failure may run again.
 */
export class KeepPeriodsAndTime1764300900000 implements MigrationInterface {
  readonly name = 'KeepPeriodsAndTime1764300900000';
  readonly transaction = false;

  async up(runner: QueryRunner): Promise<void> {
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
    await this.#takeOtherDays(runner);
    await this.#indexRequestIds(runner);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query(`
      DROP TABLE usage_events_other_days;
      DROP TABLE clock_marks, budget_periods;
      ALTER TABLE budget_accounts DROP COLUMN newest_period_number;
    `);
    for (const partition of await partitionsOf(runner, 'usage_request_ids')) {
      await runner.query(`
        DROP INDEX ${partition}_received_at;
        CREATE INDEX ON ${partition} USING brin (received_at);
      `);
    }
  }

  /** Made beside the table and attached: making it as a partition would wait for every reader, and all events for it. */
  async #takeOtherDays(runner: QueryRunner): Promise<void> {
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

  async #indexRequestIds(runner: QueryRunner): Promise<void> {
    for (const partition of await partitionsOf(runner, 'usage_request_ids')) {
      const [index] = await runner.manager.query<{ is_valid: boolean }[]>(
        `SELECT indisvalid AS is_valid FROM pg_index WHERE indexrelid = to_regclass('${partition}_received_at')`,
      );
      if (index?.is_valid !== true) {
        await runner.query(`DROP INDEX CONCURRENTLY IF EXISTS ${partition}_received_at`);
        await runner.query(
          `CREATE INDEX CONCURRENTLY ${partition}_received_at ON ${partition} (received_at)`,
        );
      }
      // The block range index that it replaces goes blind once freed pages take new rows.
      await runner.query(`DROP INDEX CONCURRENTLY IF EXISTS ${partition}_received_at_idx`);
    }
  }
}
