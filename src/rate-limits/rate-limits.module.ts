import { Module } from '@nestjs/common';
import { Clock } from '../common/clock.js';
import { Config } from '../config/config.js';
import { Metrics } from '../observability/metrics.service.js';
import { InstanceRegistry } from './instance-registry.service.js';
import { MemoryRateLimiter } from './memory-rate-limiter.service.js';
import { RateLimiter } from './rate-limiter.js';
import { RedisRateLimiter } from './redis-rate-limiter.js';
import { WindowCheckpoints } from './window-checkpoints.service.js';

/** How much a key may do in a minute, an hour and a day: in Redis when there is one, else in this instance's memory. */
@Module({
  providers: [
    InstanceRegistry,
    MemoryRateLimiter,
    WindowCheckpoints,
    {
      provide: RateLimiter,
      inject: [Config, MemoryRateLimiter, InstanceRegistry, Metrics, Clock],
      useFactory: chooseLimiter,
    },
  ],
  exports: [RateLimiter],
})
export class RateLimitsModule {}

function chooseLimiter(
  config: Config,
  local: MemoryRateLimiter,
  instances: InstanceRegistry,
  metrics: Metrics,
  clock: Clock,
): RateLimiter {
  if (config.redisUrl === undefined) return local;
  return new RedisRateLimiter(config.redisUrl.reveal(), local, instances, metrics, clock);
}
