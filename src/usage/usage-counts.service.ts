import { Injectable } from '@nestjs/common';
import { Metrics } from '../observability/metrics.service.js';
import type { RecordStatus } from './usage-event.js';

const STATUSES = [
  'accepted',
  'duplicate',
  'invalid',
  'conflict',
  'unknown_key',
  'unknown_hold',
  'hold_released',
  'hold_settled',
] as const satisfies readonly (RecordStatus | 'invalid')[];

/** Counts reported events by what became of them; `invalid` ones break a rule of their own. */
@Injectable()
export class UsageCounts {
  readonly #counts = new Map<RecordStatus | 'invalid', number>(STATUSES.map((status) => [status, 0]));

  constructor(metrics: Metrics) {
    const counts = this.#counts;
    metrics.counter({
      name: 'latchkey_usage_events_total',
      help: 'Reported usage events: accepted, duplicate, conflict (a duplicate with other content), invalid, or why one was rejected.',
      labelNames: ['status'],
      collect() {
        this.reset();
        for (const [status, count] of counts) this.inc({ status }, count);
      },
    });
  }

  add(status: RecordStatus | 'invalid'): void {
    this.#counts.set(status, (this.#counts.get(status) ?? 0) + 1);
  }
}
