import type { MigrationInterface, QueryRunner } from 'typeorm';

/**
 * The ledger of budgets: accounts in integer micro-cents. The account of a key is made when it first gets a limit or
 * spends; one without a limit is never refused. An account may have a parent whose limit counts as well.
 *
 * `period_number` counts the periods an account has begun: what a hold or a notice belongs to. Another period type
 * leaves it as it is, and with it all that belongs to the period that runs. `revision` grows with every change, so
 * that of two readings the newer is known.
 */
export class CreateBudgetAccounts1763800500000 implements MigrationInterface {
  readonly name = 'CreateBudgetAccounts1763800500000';

  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      CREATE TABLE budget_accounts (
        id bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT budget_accounts_pkey PRIMARY KEY,
        parent_id bigint CONSTRAINT budget_accounts_parent_id_fkey REFERENCES budget_accounts (id),
        api_key_id bigint CONSTRAINT budget_accounts_api_key_id_key UNIQUE
          CONSTRAINT budget_accounts_api_key_id_fkey REFERENCES api_keys (id),
        limit_micro_cents bigint,
        period_type text NOT NULL DEFAULT 'total',
        period_start timestamptz NOT NULL DEFAULT '-infinity',
        period_number integer NOT NULL DEFAULT 1,
        spent_micro_cents bigint NOT NULL DEFAULT 0,
        held_micro_cents bigint NOT NULL DEFAULT 0,
        revision bigint NOT NULL DEFAULT 1,
        CONSTRAINT budget_accounts_amounts_check CHECK (
          limit_micro_cents >= 0 AND spent_micro_cents >= 0 AND held_micro_cents >= 0
        ),
        CONSTRAINT budget_accounts_period_type_check CHECK (period_type IN ('total', 'monthly')),
        CONSTRAINT budget_accounts_parent_check CHECK (parent_id <> id)
      ) WITH (fillfactor = 70);
      CREATE INDEX budget_accounts_parent_id_idx ON budget_accounts (parent_id) WHERE parent_id IS NOT NULL;
      INSERT INTO budget_accounts (api_key_id, limit_micro_cents, period_type)
        SELECT id, budget_limit_cents * 1000000, budget_type FROM api_keys WHERE NOT is_unlimited ORDER BY id;
    `);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('DROP TABLE budget_accounts');
  }
}
