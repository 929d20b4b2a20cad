import { Injectable, Logger, type OnModuleDestroy, type OnModuleInit } from '@nestjs/common';
import { type ClockReading, judgeClock } from './clock.policy.js';
import { BackgroundPool } from '../database/pools.js';

const OBSERVE_EVERY_MS = 10_000;
/** The stored time may catch up with the clock only gradually: if it followed every jump, it would detect none. */
const CATCH_UP = 2;

/**
 * How the stored state of a jump changes. `seen`: an instance was running when the clock jumped; holds only seem to have
 * expired. `found`: the clock was that far ahead at the start of an instance; holds that expired while nothing ran are
 * released.
 */
type JumpChange = 'unchanged' | 'seen' | 'found' | 'over';

interface MarkRow {
  readonly now_ms: number;
  readonly seen_ms: number;
}

/**
 * SQL condition: whether the clock may be trusted. It uses `now()`, the same time by which a job deletes. Before the first
 * observation the clock is trusted.
 */
export const IS_CLOCK_BELIEVED = `coalesce(
  (SELECT now() BETWEEN seen_at - interval '1 hour' AND seen_at + interval '1 hour' FROM clock_marks), true)`;

const OBSERVE = `
  INSERT INTO clock_marks AS marks (seen_at) VALUES (clock_timestamp())
  ON CONFLICT (id) DO UPDATE SET
    seen_at = CASE
      WHEN $1 THEN clock_timestamp()
      WHEN clock_timestamp() <= marks.seen_at + interval '1 hour'
        THEN greatest(marks.seen_at, least(clock_timestamp(), marks.seen_at + $2 * interval '1 millisecond'))
      ELSE marks.seen_at END,
    jump = CASE $3::text WHEN 'found' THEN coalesce(marks.jump, 'found') WHEN 'over' THEN NULL WHEN 'seen' THEN 'seen' ELSE marks.jump END
  RETURNING (extract(epoch FROM clock_timestamp()) * 1000)::bigint AS now_ms,
    (extract(epoch FROM seen_at) * 1000)::bigint AS seen_ms`;

/**
 * Watches the database's clock. The last time seen is stored and advances only as fast as time passes, so a jump shows as a
 * distance between the two, also to an instance that starts later. Jobs that delete do nothing until the clock is
 * back, or has run evenly for an hour: after a stop of days the clock is right, and only waiting tells that from a jump.
 */
@Injectable()
export class ClockGuard implements OnModuleInit, OnModuleDestroy {
  readonly #logger = new Logger(ClockGuard.name);
  #timer: NodeJS.Timeout | undefined;
  #observing: Promise<void> | undefined;
  #lastMs: number | undefined;
  #doubtedSince: ClockReading | undefined;
  #hasBelieved = false;
  #offsetMs = 0;

  constructor(private readonly pool: BackgroundPool) {}

  /** Seconds by which the database's clock is ahead of the expected time, negative when behind; 0 while it is trusted. */
  get jumpSeconds(): number {
    return this.#doubtedSince === undefined ? 0 : this.#offsetMs / 1000;
  }

  async onModuleInit(): Promise<void> {
    await this.observe();
    this.#timer = setInterval(() => void this.observe(), OBSERVE_EVERY_MS);
    this.#timer.unref();
  }

  /** Reads the clock once more: the next start must know of a jump that this instance saw. */
  async onModuleDestroy(): Promise<void> {
    clearInterval(this.#timer);
    await this.#observing;
    await this.observe();
  }

  /** Reads the clock now; concurrent calls share one read. Never rejects. */
  observe(): Promise<void> {
    this.#observing ??= this.#observe()
      .catch((error: unknown) => this.#logger.debug(`The clock was not observed: ${String(error)}`))
      .finally(() => {
        this.#observing = undefined;
      });
    return this.#observing;
  }

  async #observe(): Promise<void> {
    const reading = await this.#read('unchanged');
    const { clockMs, seenAtMs } = reading;
    this.#offsetMs = clockMs - seenAtMs;
    const judgment = judgeClock(reading, seenAtMs, this.#doubtedSince);
    if (judgment.kind === 'doubted') {
      if (this.#doubtedSince === undefined) this.#warn();
      this.#doubtedSince = judgment.since;
      await this.#read(this.#hasBelieved ? 'seen' : 'found');
      return;
    }
    if (judgment.kind === 'confirmed') await this.#read('over', true);
    else if (!this.#hasBelieved || this.#doubtedSince !== undefined) await this.#read('over');
    this.#hasBelieved = true;
    if (this.#doubtedSince === undefined) return;
    this.#doubtedSince = undefined;
    this.#logger.log('The clock of the database is believed again: jobs that delete go on.');
  }

  async #read(jump: JumpChange, isConfirmed = false): Promise<ClockReading & { readonly seenAtMs: number }> {
    const monotonicMs = performance.now();
    const passedMs = Math.round((monotonicMs - (this.#lastMs ?? monotonicMs)) * CATCH_UP);
    const values = [isConfirmed, passedMs, jump];
    const { rows } = await this.pool.query<MarkRow>({ name: 'observe_clock', text: OBSERVE, values });
    this.#lastMs = monotonicMs;
    const [row] = rows;
    if (row === undefined) throw new Error('The clock was not stored.');
    return { clockMs: row.now_ms, seenAtMs: row.seen_ms, monotonicMs };
  }

  #warn(): void {
    const hours = Math.round(Math.abs(this.#offsetMs) / 360_000) / 10;
    this.#logger.warn(
      `The clock of the database is ${hours} hours ${this.#offsetMs > 0 ? 'ahead of' : 'behind'} what was last seen: ` +
        'nothing is deleted until it is back, has run evenly for an hour, or is confirmed (docs/operations.md).',
    );
  }
}
