import { Module } from '@nestjs/common';
import { ApiKeysModule } from '../api-keys/api-keys.module.js';
import { RateLimitsModule } from '../rate-limits/rate-limits.module.js';
import { ForwardAuthController } from './forward-auth.controller.js';
import { IntrospectionController } from './introspection.controller.js';
import { VerdictCounts } from './verdict-counts.js';
import { VerificationService } from './verification.service.js';
import { VerifyController } from './verify.controller.js';

/** The data plane: may this key do this, now? */
@Module({
  imports: [ApiKeysModule, RateLimitsModule],
  controllers: [ForwardAuthController, IntrospectionController, VerifyController],
  providers: [VerdictCounts, VerificationService],
})
export class VerificationModule {}
