import { Global, Module } from '@nestjs/common';
import { ChangeFeedMetrics } from './change-feed-metrics.service.js';
import { ClockMetrics } from './clock-metrics.service.js';
import { DatabasePoolMetrics } from './database-pool-metrics.service.js';
import { HealthController } from './health.controller.js';
import { Metrics } from './metrics.service.js';
import { MetricsController } from './metrics.controller.js';
import { Readiness } from './readiness.service.js';
import { StorageMetrics } from './storage-metrics.service.js';

/** What operators look at: health and measurements. Any module adds measurements of its own through `Metrics`. */
@Global()
@Module({
  controllers: [HealthController, MetricsController],
  providers: [ChangeFeedMetrics, ClockMetrics, DatabasePoolMetrics, Metrics, Readiness, StorageMetrics],
  exports: [Metrics, Readiness],
})
export class ObservabilityModule {}
