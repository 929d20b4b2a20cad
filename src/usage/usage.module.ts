import { Module } from '@nestjs/common';
import { ApiKeysModule } from '../api-keys/api-keys.module.js';
import { BudgetsModule } from '../budgets/budgets.module.js';
import { HoldsController } from './holds.controller.js';
import { HoldsService } from './holds.service.js';
import { UsageController } from './usage.controller.js';
import { UsageEventsController } from './usage-events.controller.js';
import { UsageEvents } from './usage-events.js';
import { UsageReversals } from './usage-reversals.service.js';
import { UsageCounts } from './usage-counts.js';
import { UsageIngestionController } from './usage-ingestion.controller.js';
import { UsageIngestionService } from './usage-ingestion.service.js';
import { UsageRecorder } from './usage-recorder.js';
import { UsageSeriesController } from './usage-series.controller.js';
import { UsageSeries } from './usage-series.js';
import { UsageStatistics } from './usage-statistics.js';
import { UsageSummaryController } from './usage-summary.controller.js';
import { UsageSummary } from './usage-summary.js';
import { UsageUpkeep } from './usage-upkeep.js';

/** What keys were used for: events taken in, and statistics over their rollups. */
@Module({
  imports: [ApiKeysModule, BudgetsModule],
  controllers: [
    HoldsController,
    UsageController,
    UsageSeriesController,
    UsageSummaryController,
    UsageIngestionController,
    UsageEventsController,
  ],
  providers: [
    HoldsService,
    UsageCounts,
    UsageEvents,
    UsageReversals,
    UsageIngestionService,
    UsageRecorder,
    UsageStatistics,
    UsageSeries,
    UsageSummary,
    UsageUpkeep,
  ],
})
export class UsageModule {}
