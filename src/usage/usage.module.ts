import { Module } from '@nestjs/common';
import { ApiKeysModule } from '../api-keys/api-keys.module.js';
import { BudgetsModule } from '../budgets/budgets.module.js';
import { UsageController } from './usage.controller.js';
import { UsageEventsController } from './usage-events.controller.js';
import { UsageEvents } from './usage-events.queries.js';
import { UsageReversals } from './usage-reversals.service.js';
import { UsageCounts } from './usage-counts.service.js';
import { UsageIngestionController } from './usage-ingestion.controller.js';
import { UsageIngestionService } from './usage-ingestion.service.js';
import { UsageRecorder } from './usage-recorder.service.js';
import { UsageSeriesController } from './usage-series.controller.js';
import { UsageSeries } from './usage-series.queries.js';
import { UsageStatistics } from './usage-statistics.queries.js';
import { UsageSummaryController } from './usage-summary.controller.js';
import { UsageSummary } from './usage-summary.queries.js';
import { UsageMaintenance } from './usage-maintenance.service.js';

/** What keys were used for: events taken in, and statistics over their rollups. */
@Module({
  imports: [ApiKeysModule, BudgetsModule],
  controllers: [
    UsageController,
    UsageSeriesController,
    UsageSummaryController,
    UsageIngestionController,
    UsageEventsController,
  ],
  providers: [
    UsageCounts,
    UsageEvents,
    UsageReversals,
    UsageIngestionService,
    UsageRecorder,
    UsageStatistics,
    UsageSeries,
    UsageSummary,
    UsageMaintenance,
  ],
  exports: [UsageRecorder],
})
export class UsageModule {}
