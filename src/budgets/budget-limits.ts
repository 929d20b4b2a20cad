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
    const limit = limitMicroCents?.toString() ?? null;
    await this.transactions.tx.query('SELECT set_budget_limit($1, $2, $3)', [apiKeyId, limit, periodType]);
  }
}
