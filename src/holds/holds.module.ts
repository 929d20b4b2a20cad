import { Module } from '@nestjs/common';
import { ApiKeysModule } from '../api-keys/api-keys.module.js';
import { BudgetsModule } from '../budgets/budgets.module.js';
import { UsageModule } from '../usage/usage.module.js';
import { BudgetLedger } from './budget-ledger.queries.js';
import { HoldGrants } from './hold-grants.queries.js';
import { HoldPolicies } from './hold-policies.queries.js';
import { HoldSweeper } from './hold-sweeper.service.js';
import { HoldsController } from './holds.controller.js';
import { HoldsService } from './holds.service.js';

/** Amounts of a budget that are held for requests in progress: granted, extended, settled, released, expired. */
@Module({
  imports: [ApiKeysModule, BudgetsModule, UsageModule],
  controllers: [HoldsController],
  providers: [BudgetLedger, HoldGrants, HoldPolicies, HoldSweeper, HoldsService],
  exports: [BudgetLedger],
})
export class HoldsModule {}
