import { Global, Module } from '@nestjs/common';
import { ChangeFeedMetrics } from './change-feed-metrics.js';
import { ClockMetrics } from './clock-metrics.js';
import { DatabasePoolMetrics } from './database-pool-metrics.js';
import { HealthController } from './health.controller.js';
import { Metrics } from './metrics.js';
import { MetricsController } from './metrics.controller.js';
import { Readiness } from './readiness.js';
import { StorageMetrics } from './storage-metrics.js';

/** What operators look at: health and measurements. Any module adds measurements of its own through `Metrics`. */
@Global()
@Module({
  controllers: [HealthController, MetricsController],
  providers: [ChangeFeedMetrics, ClockMetrics, DatabasePoolMetrics, Metrics, Readiness, StorageMetrics],
  exports: [Metrics, Readiness],
})
export class ObservabilityModule {}
