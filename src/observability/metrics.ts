import { Injectable } from '@nestjs/common';
import {
  collectDefaultMetrics,
  Counter,
  type CounterConfiguration,
  Gauge,
  type GaugeConfiguration,
  Histogram,
  type HistogramConfiguration,
  Registry,
} from 'prom-client';
import { projectVersion } from '../common/project-path.js';

/** The media type of `Metrics.text`. */
export const METRICS_MEDIA_TYPE = Registry.PROMETHEUS_CONTENT_TYPE;

/**
 * The measurements of this instance, in a registry of its own. Each module registers its own here; names begin with
 * `latchkey_` and end in their unit, and a label never takes values that a caller chooses.
 */
@Injectable()
export class Metrics {
  readonly #registry = new Registry();

  constructor() {
    const labels = { version: projectVersion(), node_version: process.versions.node };
    this.gauge({
      name: 'latchkey_build_info',
      help: 'Always 1; the labels say what runs.',
      labelNames: Object.keys(labels),
    }).set(labels, 1);
  }

  counter<Label extends string>(options: CounterConfiguration<Label>): Counter<Label> {
    return new Counter({ ...options, registers: [this.#registry] });
  }

  gauge<Label extends string>(options: GaugeConfiguration<Label>): Gauge<Label> {
    return new Gauge({ ...options, registers: [this.#registry] });
  }

  histogram<Label extends string>(options: HistogramConfiguration<Label>): Histogram<Label> {
    return new Histogram({ ...options, registers: [this.#registry] });
  }

  /** Everything measured, in the text format of Prometheus. */
  async text(): Promise<string> {
    return (await processMetrics().metrics()) + (await this.#registry.metrics());
  }
}

let processRegistry: Registry | undefined;

/** Memory, CPU, event loop, garbage collection: one per process, because its observers can never be taken away. */
function processMetrics(): Registry {
  if (processRegistry === undefined) {
    processRegistry = new Registry();
    collectDefaultMetrics({ register: processRegistry });
  }
  return processRegistry;
}
