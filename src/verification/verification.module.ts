import { Module } from '@nestjs/common';
import { ApiKeysModule } from '../api-keys/api-keys.module.js';
import { BudgetsModule } from '../budgets/budgets.module.js';
import { HoldsModule } from '../holds/holds.module.js';
import { RateLimitsModule } from '../rate-limits/rate-limits.module.js';
import { Explanations } from './explanations.service.js';
import { ForwardAuthController } from './forward-auth.controller.js';
import { IntrospectionController } from './introspection.controller.js';
import { VerdictCounts } from './verdict-counts.service.js';
import { VerdictHolds } from './verdict-holds.service.js';
import { VerificationService } from './verification.service.js';
import { VerifyController } from './verify.controller.js';

/** The data plane: may this key do this, now? */
@Module({
  imports: [ApiKeysModule, BudgetsModule, HoldsModule, RateLimitsModule],
  controllers: [ForwardAuthController, IntrospectionController, VerifyController],
  providers: [Explanations, VerdictCounts, VerdictHolds, VerificationService],
})
export class VerificationModule {}
