import { AsyncResource } from 'node:async_hooks';
import type { Logger } from '@nestjs/common';
import type { Clock } from '../common/clock.js';

const FLUSH_MS = 60_000;
/** Subjects that are counted one by one at a time. */
const MOST_SUBJECTS = 10_000;

/** Publishes that something happened so many times, the first of them at `since`. */
export type PublishCount = (count: number, since: Date) => Promise<void>;

/** What was observed, and how it is published. */
export interface Repeated {
  /** The same for all that are counted together. */
  readonly subject: string;
  /** Publishes this one. */
  readonly one: () => Promise<void>;
  /** Publishes how many more there were, in the request of the first. */
  readonly others: PublishCount;
  /** Where there are too many subjects: what is counted together then, and how it is published, outside of any request. */
  readonly besides: { readonly subject: string; readonly publish: PublishCount };
}

/** What has happened of a subject lately. */
interface Occurrences {
  /** Those with a row of their own. */
  published: number;
  /** Those that no row records yet. */
  count: number;
  /** Since when they are counted. */
  since: Date;
  readonly publish: PublishCount;
}

/**
 * Observations that may come by the thousand, such as refusals: the first of a subject are published at once, and the others
 * as one count a minute. What was counted but not published yet is lost when the process is killed.
 */
export class RepeatedObservations {
  readonly #subjects = new Map<string, Occurrences>();
  readonly #timer: NodeJS.Timeout;

  /** `publishedAtOnce` of a subject have a row each before others are counted. */
  constructor(
    private readonly publishedAtOnce: number,
    private readonly clock: Clock,
    private readonly logger: Logger,
  ) {
    this.#timer = setInterval(() => void this.flush(), FLUSH_MS);
    this.#timer.unref();
  }

  /** Resolves when the row of this one is committed, or at once when it is counted. */
  async add({ subject, one, others, besides }: Repeated): Promise<void> {
    const known = this.#subjects.get(subject);
    if (known === undefined && this.#subjects.size >= MOST_SUBJECTS) {
      this.#known(besides.subject, besides.publish).count += 1;
      return;
    }
    const occurrences = known ?? this.#known(subject, AsyncResource.bind(others));
    if (occurrences.published >= this.publishedAtOnce) {
      if (occurrences.count === 0) occurrences.since = this.clock.now();
      occurrences.count += 1;
      return;
    }
    occurrences.published += 1;
    try {
      await one();
    } catch (error) {
      occurrences.published -= 1;
      throw error;
    }
  }

  #known(subject: string, publish: PublishCount): Occurrences {
    const known = this.#subjects.get(subject);
    if (known !== undefined) return known;
    const occurrences = { published: 0, count: 0, since: this.clock.now(), publish };
    this.#subjects.set(subject, occurrences);
    return occurrences;
  }

  /** Publishes the counts; subjects that were not counted since the last call are dropped. */
  async flush(): Promise<void> {
    for (const [subject, occurrences] of this.#subjects) {
      if (occurrences.count === 0) this.#subjects.delete(subject);
      else await this.#publish(occurrences);
    }
  }

  /** Publishes what is left. */
  async stop(): Promise<void> {
    clearInterval(this.#timer);
    await this.flush();
  }

  async #publish(occurrences: Occurrences): Promise<void> {
    const { count, since, publish } = occurrences;
    occurrences.count = 0;
    try {
      await publish(count, since);
    } catch (error) {
      Object.assign(occurrences, { count: occurrences.count + count, since });
      this.logger.warn(`A count of refusals could not be recorded yet: ${String(error)}`);
    }
  }
}
