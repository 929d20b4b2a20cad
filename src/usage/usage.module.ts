import { Module } from '@nestjs/common';
import { ApiKeysModule } from '../api-keys/api-keys.module.js';
import { UsageController } from './usage.controller.js';
import { UsageStatistics } from './usage-statistics.js';

/** What keys were used for: statistics over rollups. */
@Module({
  imports: [ApiKeysModule],
  controllers: [UsageController],
  providers: [UsageStatistics],
})
export class UsageModule {}
