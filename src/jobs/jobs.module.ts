import { Global, Module } from '@nestjs/common';
import { ClockGuard } from './clock-guard.service.js';
import { Maintenance } from './maintenance.service.js';

/** Work that runs on a schedule, on one instance at a time. Features register their own jobs. */
@Global()
@Module({
  providers: [ClockGuard, Maintenance],
  exports: [ClockGuard, Maintenance],
})
export class JobsModule {}
