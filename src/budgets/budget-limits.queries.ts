import { Injectable } from '@nestjs/common';
import { TransactionHost } from '@nestjs-cls/transactional';
import type { TransactionalAdapterTypeOrm } from '@nestjs-cls/transactional-adapter-typeorm';
import { BudgetStates } from './budget-states.service.js';
import type { BudgetLimit } from './budget.policy.js';

/** Sets the limits of accounts, as part of the transaction that changes the key. */
@Injectable()
export class BudgetLimits {
  constructor(
    private readonly transactions: TransactionHost<TransactionalAdapterTypeOrm>,
    private readonly states: BudgetStates,
  ) {}

  /** Makes the account of a new key a child of its parent's, so that its costs and holds count in all accounts above. */
  async setParentOfApiKey(apiKeyId: number, parentKeyId: number): Promise<void> {
    await this.transactions.tx.query('SELECT set_budget_parent($1, $2)', [apiKeyId, parentKeyId]);
  }

  /** Puts the account of a key that has moved under that of its new project or organization. */
  async placeApiKey(apiKeyId: number): Promise<void> {
    await this.transactions.tx.query('SELECT place_budget_account($1)', [apiKeyId]);
  }

  /** Changing a limit or its period type keeps what was spent and held. */
  async setOfApiKey(apiKeyId: number, limit: BudgetLimit): Promise<void> {
    this.states.expectLimit(apiKeyId, limit);
    await this.transactions.tx.query('SELECT set_budget_limit($1, $2, $3)', [
      apiKeyId,
      limit.limitMicroCents?.toString() ?? null,
      limit.periodType,
    ]);
  }
}
