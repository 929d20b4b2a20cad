import { Injectable } from '@nestjs/common';
import { TransactionHost } from '@nestjs-cls/transactional';
import type { TransactionalAdapterTypeOrm } from '@nestjs-cls/transactional-adapter-typeorm';
import type { BudgetAccount, BudgetLimit, BudgetPlace, BudgetType } from './budget.policy.js';

/** The budget of a project or of a whole organization. */
export interface ScopeBudget {
  readonly hasLimit: boolean;
  /** Its limit is 0 where there is none. */
  readonly account: BudgetAccount;
}

interface Row {
  readonly id: number;
  readonly revision: number;
  readonly limit: string | null;
  readonly type: BudgetType;
  readonly period_start: Date | null;
  readonly spent: string;
  readonly held: string;
}

/** One whose limit was never set. */
const NEVER_SET: Row = {
  id: 0,
  revision: 0,
  limit: null,
  type: 'total',
  period_start: null,
  spent: '0',
  held: '0',
};

/** Budgets of projects and of organizations. Every method is part of the caller's transaction, where there is one. */
@Injectable()
export class ScopeBudgets {
  constructor(private readonly transactions: TransactionHost<TransactionalAdapterTypeOrm>) {}

  async find({ organizationId, projectId }: BudgetPlace): Promise<ScopeBudget> {
    const [row = NEVER_SET] = await this.transactions.tx.query<Row[]>(FIND, [organizationId, projectId]);
    const account = {
      accountId: row.id,
      revision: row.revision,
      limitMicroCents: BigInt(row.limit ?? 0),
      periodType: row.type,
      periodStartMs: row.period_start?.getTime() ?? 0,
      spentMicroCents: BigInt(row.spent),
      heldMicroCents: BigInt(row.held),
    };
    return { hasLimit: row.limit !== null, account };
  }

  /** Sets the limit; what is spent and held stays. The first one begins to count now, for all keys of the scope. */
  async set(
    { organizationId, projectId }: BudgetPlace,
    { limitMicroCents, periodType }: BudgetLimit,
  ): Promise<void> {
    await this.transactions.tx.query('SELECT set_scope_budget($1, $2, $3, $4)', [
      organizationId,
      projectId,
      limitMicroCents?.toString() ?? null,
      periodType,
    ]);
  }
}

const FIND = `
  SELECT now.id, now.revision, now.limit_micro_cents::text AS limit, now.period_type AS type,
    CASE WHEN isfinite(now.period_start) THEN now.period_start END AS period_start, now.spent_micro_cents::text AS spent,
    now.held_micro_cents::text AS held
  FROM budget_accounts AS accounts CROSS JOIN LATERAL current_budget_account(accounts) AS now
  WHERE accounts.id = budget_account_of_scope($1, $2)`;
