import { Module } from '@nestjs/common';
import { BudgetLimits } from './budget-limits.queries.js';
import { BudgetAlerts } from './budget-alerts.service.js';
import { BudgetStates } from './budget-states.service.js';
import { ScopeBudgets } from './scope-budgets.queries.js';

/** Budget accounts: their limits, what is spent and held, thresholds. It knows no HTTP. */
@Module({
  providers: [BudgetLimits, BudgetAlerts, BudgetStates, ScopeBudgets],
  exports: [BudgetLimits, BudgetAlerts, BudgetStates, ScopeBudgets],
})
export class BudgetsModule {}
