import type { Logger } from '@nestjs/common';
import type { Clock } from '../common/clock.js';
import {
  commonContext,
  currentRequestContext,
  type RequestContext,
  runInContext,
} from '../context/request-context.js';

const FLUSH_MS = 60_000;
/** Subjects at a time, in all and of one caller. */
const [MOST_SUBJECTS, MOST_SUBJECTS_OF_CALLER] = [10_000, 100];

/** Publishes that something happened so many times, the first of them at `since`. */
export type PublishCount = (count: number, since: Date) => Promise<void>;

/** What is counted together, and how the count is published. */
export interface Counted {
  readonly subject: string;
  readonly publishCount: PublishCount;
}

/** What was observed. */
export interface Repeated {
  /** Who caused it. One caller's flood of subjects takes no detail from the rows of others. */
  readonly caller: string;
  readonly counted: Counted;
  /** Publishes this one alone. */
  readonly publishOne: () => Promise<void>;
  /** How it is counted when there is no room for another subject: the first of these that has some, or else the last. */
  readonly overflow: readonly [Counted, ...Counted[]];
}

/** What has happened of a subject lately. */
interface Occurrences {
  /** The caller among whose subjects it is; undefined for an overflow. */
  readonly caller: string | undefined;
  readonly publishCount: PublishCount;
  /** Those with a row of their own. */
  published: number;
  /** Those that no row records yet. */
  count: number;
  /** Since when they are counted. */
  since: Date;
  /** What all that are counted have in common. */
  context: RequestContext | undefined;
}

/**
 * Observations that may come by the thousand, such as refusals: the first of a subject are published at once, and the others
 * as one count a minute, which names what all of them have in common. A count that is not published yet is lost when the
 * process is killed.
 */
export class RepeatedObservations {
  readonly #subjects = new Map<string, Occurrences>();
  readonly #subjectsOf = new Map<string, number>();
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
  async add({ caller, counted, publishOne, overflow }: Repeated): Promise<void> {
    const occurrences = this.#subjects.get(counted.subject) ?? this.#begin(counted, caller);
    if (occurrences === undefined) return this.#count(this.#overflowOf(overflow));
    if (occurrences.published >= this.publishedAtOnce) return this.#count(occurrences);
    occurrences.published += 1;
    try {
      await publishOne();
    } catch (error) {
      occurrences.published -= 1;
      throw error;
    }
  }

  #count(occurrences: Occurrences): void {
    const context = currentRequestContext();
    if (occurrences.count === 0) {
      occurrences.since = this.clock.now();
      occurrences.context = commonContext(context, context);
    } else occurrences.context = commonContext(occurrences.context, context);
    occurrences.count += 1;
  }

  #overflowOf([first, ...others]: Repeated['overflow']): Occurrences {
    const known = this.#subjects.get(first.subject) ?? this.#begin(first);
    if (known !== undefined) return known;
    const [next, ...further] = others;
    return next === undefined ? this.#keep(first, undefined) : this.#overflowOf([next, ...further]);
  }

  /** Undefined when there is no room for another subject. */
  #begin(counted: Counted, caller?: string): Occurrences | undefined {
    if (this.#subjects.size >= MOST_SUBJECTS) return undefined;
    if (caller !== undefined) {
      const subjects = this.#subjectsOf.get(caller) ?? 0;
      if (subjects >= MOST_SUBJECTS_OF_CALLER) return undefined;
      this.#subjectsOf.set(caller, subjects + 1);
    }
    return this.#keep(counted, caller);
  }

  #keep({ subject, publishCount }: Counted, caller: string | undefined): Occurrences {
    const occurrences = {
      caller,
      publishCount,
      published: 0,
      count: 0,
      since: this.clock.now(),
      context: undefined,
    };
    this.#subjects.set(subject, occurrences);
    return occurrences;
  }

  #drop(subject: string, { caller }: Occurrences): void {
    this.#subjects.delete(subject);
    if (caller === undefined) return;
    const subjects = this.#subjectsOf.get(caller) ?? 0;
    if (subjects > 1) this.#subjectsOf.set(caller, subjects - 1);
    else this.#subjectsOf.delete(caller);
  }

  /** Publishes the counts; subjects that were not counted since the last call are dropped. */
  async flush(): Promise<void> {
    for (const [subject, occurrences] of this.#subjects) {
      if (occurrences.count === 0) this.#drop(subject, occurrences);
      else await this.#publish(occurrences);
    }
  }

  /** Publishes what is left. */
  async stop(): Promise<void> {
    clearInterval(this.#timer);
    await this.flush();
  }

  async #publish(occurrences: Occurrences): Promise<void> {
    const { count, since, context, publishCount } = occurrences;
    occurrences.count = 0;
    try {
      await runInContext(context, () => publishCount(count, since));
    } catch (error) {
      const common = occurrences.count === 0 ? context : commonContext(context, occurrences.context);
      Object.assign(occurrences, { count: occurrences.count + count, since, context: common });
      this.logger.warn(`A count of refusals could not be recorded yet: ${String(error)}`);
    }
  }
}
