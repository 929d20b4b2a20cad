import { Module } from '@nestjs/common';
import { BudgetLedger } from './budget-ledger.js';
import { BudgetLimits } from './budget-limits.js';
import { BudgetNotices } from './budget-notices.js';
import { BudgetStates } from './budget-states.js';
import { HoldGrants } from './hold-grants.js';
import { HoldSweeper } from './hold-sweeper.js';

/** The ledger of accounts that keeps budgets hard. It knows no HTTP. */
@Module({
  providers: [BudgetLedger, BudgetLimits, BudgetNotices, BudgetStates, HoldGrants, HoldSweeper],
  exports: [BudgetLedger, BudgetLimits, BudgetNotices, BudgetStates],
})
export class BudgetsModule {}
