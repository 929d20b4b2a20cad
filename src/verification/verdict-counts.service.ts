import { Injectable } from '@nestjs/common';
import { Metrics } from '../observability/metrics.service.js';
import { VERDICT_CODES, type VerdictCode } from './verdict.js';

/** Counts verdicts by code. The hot path adds to a plain number; the metric reads it when it is collected. */
@Injectable()
export class VerdictCounts {
  readonly #counts = new Map<VerdictCode, number>(VERDICT_CODES.map((code) => [code, 0]));

  constructor(metrics: Metrics) {
    const counts = this.#counts;
    metrics.counter({
      name: 'latchkey_verdicts_total',
      help: 'Verdicts, by code, from VALID to NOT_FOUND.',
      labelNames: ['code'],
      collect() {
        this.reset();
        for (const [code, count] of counts) this.inc({ code }, count);
      },
    });
  }

  add(code: VerdictCode): void {
    this.#counts.set(code, (this.#counts.get(code) ?? 0) + 1);
  }
}
