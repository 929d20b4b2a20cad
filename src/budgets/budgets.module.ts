import { Module } from '@nestjs/common';
import { BudgetLimits } from './budget-limits.js';

/** The ledger of accounts that keeps budgets hard. It knows no HTTP. */
@Module({
  providers: [BudgetLimits],
  exports: [BudgetLimits],
})
export class BudgetsModule {}
