import { Injectable } from '@nestjs/common';
import { TransactionHost } from '@nestjs-cls/transactional';
import type { TransactionalAdapterTypeOrm } from '@nestjs-cls/transactional-adapter-typeorm';
import type { BudgetPeriodType } from './budget.policy.js';

/** The limit that an account is to have; null for none. */
export interface BudgetLimit {
  readonly limitMicroCents: bigint | null;
  readonly periodType: BudgetPeriodType;
}

/** Sets the limits of accounts, as part of the transaction that changes the key. */
@Injectable()
export class BudgetLimits {
  constructor(private readonly transactions: TransactionHost<TransactionalAdapterTypeOrm>) {}

  /** Changing a limit or its period type keeps what was spent and held. */
  async setOfApiKey(apiKeyId: number, { limitMicroCents, periodType }: BudgetLimit): Promise<void> {
    await this.transactions.tx.query(
      `INSERT INTO budget_accounts (api_key_id, limit_micro_cents, period_type) VALUES ($1, $2, $3)
       ON CONFLICT (api_key_id) DO UPDATE
         SET limit_micro_cents = excluded.limit_micro_cents, period_type = excluded.period_type`,
      [apiKeyId, limitMicroCents?.toString() ?? null, periodType],
    );
  }
}
