import { Injectable } from '@nestjs/common';
import {
  collectDefaultMetrics,
  Counter,
  type CounterConfiguration,
  Gauge,
  type GaugeConfiguration,
  Histogram,
  type HistogramConfiguration,
  type MetricConfiguration,
  Registry,
} from 'prom-client';
import { projectVersion } from '../common/project-path.js';

/** The media type of `Metrics.text`. */
export const METRICS_MEDIA_TYPE = Registry.PROMETHEUS_CONTENT_TYPE;

/** A metric as documents describe it. */
export interface MetricDefinition {
  readonly name: string;
  readonly help: string;
  readonly type: 'counter' | 'gauge' | 'histogram';
  readonly labels: readonly string[];
}

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
      help: 'Always 1; the labels are the versions that run.',
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

  /** What each metric of ours measures, in the order of their registration; those of prom-client itself are not among them. */
  definitions(): MetricDefinition[] {
    return this.#registry.getMetricsAsArray().map((metric) => {
      const { name, help, labelNames } = metric as unknown as MetricConfiguration<string>;
      return { name, help, type: typeOf(metric), labels: [...(labelNames ?? [])] };
    });
  }

  /** Everything measured, in the text format of Prometheus. */
  async text(): Promise<string> {
    return (await processMetrics().metrics()) + (await this.#registry.metrics());
  }
}

function typeOf(metric: unknown): MetricDefinition['type'] {
  if (metric instanceof Counter) return 'counter';
  return metric instanceof Histogram ? 'histogram' : 'gauge';
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
