import type { Load } from './load.js';
import type { LoadResult, RequestPlan } from './load-plan.js';
import type { ServerProcess } from './server-process.js';
import { median } from './statistics.js';

/** A server and the requests that it is given. */
export interface Contender {
  readonly server: ServerProcess;
  readonly plan: RequestPlan;
}

/** One thing that two servers do: the one that is judged, and the one it is measured by. */
export interface Trial {
  readonly name: string;
  readonly subject: Contender;
  readonly reference: Contender;
}

export interface TrialOptions {
  /** Measured rounds; one more comes before them to warm up. */
  readonly rounds: number;
  /** Of each load. */
  readonly seconds: number;
  readonly connections: number;
}

/** Medians over the rounds. */
export interface Summary {
  readonly requestsPerSecond: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  /** CPU time of the server's process per request; undefined where it cannot be read. */
  readonly cpuMicroseconds: number | undefined;
}

export interface Comparison {
  readonly name: string;
  readonly subject: Summary;
  readonly reference: Summary;
  /** Requests per second of the subject by those of the reference: of the medians, and the extremes of single rounds. */
  readonly ratio: { readonly ofMedians: number; readonly least: number; readonly most: number };
}

interface Measurement extends LoadResult {
  readonly cpuMicroseconds: number | undefined;
}

/**
 * Loads subject and reference in turn, so that whatever else the machine does meets both.
 * @throws Error when a request is answered with anything but 2xx
 */
export async function compare(load: Load, trial: Trial, options: TrialOptions): Promise<Comparison> {
  const subject: Measurement[] = [];
  const reference: Measurement[] = [];
  for (let round = 0; round <= options.rounds; round += 1) {
    const isWarmUp = round === 0;
    for (const [contender, results] of [
      [trial.subject, subject],
      [trial.reference, reference],
    ] as const) {
      const result = await measure(load, contender, options, trial.name);
      if (!isWarmUp) results.push(result);
    }
  }
  const ratios = subject.map(
    (result, round) => result.requestsPerSecond / (reference[round]?.requestsPerSecond ?? 0),
  );
  const [of, by] = [summaryOf(subject), summaryOf(reference)];
  return {
    name: trial.name,
    subject: of,
    reference: by,
    ratio: {
      ofMedians: of.requestsPerSecond / by.requestsPerSecond,
      least: Math.min(...ratios),
      most: Math.max(...ratios),
    },
  };
}

async function measure(
  load: Load,
  { server, plan }: Contender,
  { seconds, connections }: TrialOptions,
  name: string,
): Promise<Measurement> {
  const cpuBefore = server.cpuSeconds();
  const result = await load.run({ ...plan, port: server.port, connections, seconds });
  const cpuAfter = server.cpuSeconds();
  if (Object.keys(result.refused).length > 0) {
    throw new Error(
      `${name}: ${server.name} answered ${JSON.stringify(result.refused)} (requests by status).`,
    );
  }
  const cpuMicroseconds =
    cpuBefore === undefined || cpuAfter === undefined
      ? undefined
      : ((cpuAfter - cpuBefore) * 1e6) / result.answered;
  return { ...result, cpuMicroseconds };
}

function summaryOf(results: readonly Measurement[]): Summary {
  const of = (value: (result: Measurement) => number) => median(results.map(value));
  return {
    requestsPerSecond: of((result) => result.requestsPerSecond),
    p50Ms: of((result) => result.p50Ms),
    p99Ms: of((result) => result.p99Ms),
    cpuMicroseconds:
      results[0]?.cpuMicroseconds === undefined ? undefined : of((result) => result.cpuMicroseconds ?? 0),
  };
}
