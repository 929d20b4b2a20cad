const HOUR_MS = 3_600_000;

/** How far the database's clock may be from what was seen of it and still be believed. */
const BELIEVED_MS = HOUR_MS;
/** How long a clock that is further away has to run evenly before it is believed. */
const CONFIRMED_AFTER_MS = HOUR_MS;
/** A clock runs evenly when it differs by no more than this from the time that has passed. */
const EVEN_MS = 60_000;

/** The database's clock at a moment of this process's monotonic clock, both in milliseconds. */
export interface ClockReading {
  readonly clockMs: number;
  readonly monotonicMs: number;
}

/**
 * believed: it may be acted on. doubted: it is more than an hour from what was last seen, since the reading `since`.
 * confirmed: it was, and has run evenly for an hour.
 */
export type ClockJudgment =
  | { readonly kind: 'believed' }
  | { readonly kind: 'doubted'; readonly since: ClockReading }
  | { readonly kind: 'confirmed' };

/** Judges a reading by what was last seen of the clock, and by the first reading of the jump that is under way, if any. */
export function judgeClock(
  reading: ClockReading,
  seenAtMs: number,
  since: ClockReading | undefined,
): ClockJudgment {
  if (Math.abs(reading.clockMs - seenAtMs) <= BELIEVED_MS) return { kind: 'believed' };
  if (since === undefined) return { kind: 'doubted', since: reading };
  const passedMs = reading.monotonicMs - since.monotonicMs;
  const isEven = Math.abs(reading.clockMs - since.clockMs - passedMs) <= EVEN_MS;
  if (!isEven) return { kind: 'doubted', since: reading };
  return passedMs >= CONFIRMED_AFTER_MS ? { kind: 'confirmed' } : { kind: 'doubted', since };
}
