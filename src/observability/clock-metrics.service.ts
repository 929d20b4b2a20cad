import { Injectable } from '@nestjs/common';
import { ClockGuard } from '../jobs/clock-guard.service.js';
import { Metrics } from './metrics.service.js';

/** Whether the database's clock has jumped: jobs that delete wait then. */
@Injectable()
export class ClockMetrics {
  constructor(metrics: Metrics, guard: ClockGuard) {
    metrics.gauge({
      name: 'latchkey_clock_jump_seconds',
      help: 'How far the clock of the database has jumped, while jobs that delete are paused because of it; else 0.',
      collect() {
        this.set(guard.jumpSeconds);
      },
    });
  }
}
