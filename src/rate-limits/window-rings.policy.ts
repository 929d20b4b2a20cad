/*
 * The sliding windows of a key. A window of length W is kept as a ring of buckets W/10 wide, aligned to the epoch.
 * At time t in bucket b a cost is admitted when it fits beside all of buckets b-10 … b: eleven, the oldest counted
 * whole.
 *
 * No window of length W admits more than the limit, wherever it begins. Let t be its last admission. Every other
 * one in it was at u ≥ t - W ≥ (b-10)·W/10, so in bucket b-10 or later, so it was part of the sum that t was
 * judged by. This holds even for windows that contain both of their ends.
 *
 * Capacity comes back at most W/10 late. What was admitted at u in bucket c stops counting when bucket c+11
 * begins, at (c+1)·W/10 + W ≤ u + W/10 + W.
 *
 * Ten is the fewest buckets that keep the second promise, and it makes the three widths (6, 360 and 8,640 s)
 * multiples of the first: one number, the index of the newest six seconds seen, dates all three rings.
 */

/** A window by its place: the minute, the hour, the day. */
export type WindowIndex = 0 | 1 | 2;

const BUCKETS = 10;
const RING = BUCKETS + 1;
/** The width of the minute's buckets. */
const TICK_MS = 6_000;
/** The width of each window's buckets, in ticks. */
const TICKS = [1, 60, 1_440] as const;

/**
 * The windows of a key are so many unsigned 32-bit numbers in a row: the newest tick, the three sums, the three
 * rings. Zeros are windows in which nothing was consumed. The script for Redis keeps the same numbers.
 */
export const WINDOW_WORDS = 1 + 3 + 3 * RING;
const SUMS = 1;
const RINGS = 4;

/** The tick of a time. */
export function tickOf(nowMs: number): number {
  return Math.floor(nowMs / TICK_MS);
}

/** What counts in a window now. */
export function sumOf(words: Uint32Array, at: number, window: WindowIndex): number {
  return word(words, at + SUMS + window);
}

/**
 * What counts in a window now on every clock that runs as fast as this one: the bucket that is about to leave may have
 * left already where buckets begin at other times.
 */
export function sureSumOf(words: Uint32Array, at: number, window: WindowIndex): number {
  const oldest = Math.floor(word(words, at) / TICKS[window]) + 1;
  return sumOf(words, at, window) - word(words, at + RINGS + window * RING + (oldest % RING));
}

/** True when nothing counts in any window. */
export function isEmpty(words: Uint32Array, at: number): boolean {
  return sumOf(words, at, 0) === 0 && sumOf(words, at, 1) === 0 && sumOf(words, at, 2) === 0;
}

/**
 * Brings the windows to a tick: what is too old leaves them. Answers the tick to count in.
 *
 * A clock may go back. By up to one tick, which also happens between callers that read it in one order and ask in
 * the other, the newest bucket stays the newest. By more, all that a later bucket holds counts as consumed just
 * now: nothing is forgotten early, and the windows are whole again at most their length and a tenth later, however
 * far the clock had been ahead.
 */
export function advance(words: Uint32Array, at: number, tick: number): number {
  const newest = word(words, at);
  if (tick === newest) return tick;
  if (tick === newest - 1) return newest;
  moveRing(words, at, 0, newest, tick);
  moveRing(words, at, 1, Math.floor(newest / TICKS[1]), Math.floor(tick / TICKS[1]));
  moveRing(words, at, 2, Math.floor(newest / TICKS[2]), Math.floor(tick / TICKS[2]));
  words[at] = tick;
  return tick;
}

/** Counts `cost` in the bucket of `tick`, which is the one that `advance` answered. */
export function add(words: Uint32Array, at: number, window: WindowIndex, cost: number, tick: number): void {
  const index = at + RINGS + window * RING + (Math.floor(tick / TICKS[window]) % RING);
  words[at + SUMS + window] = sumOf(words, at, window) + cost;
  words[index] = word(words, index) + cost;
}

/** When `amount` of what counts in a window has left it, in milliseconds since the epoch; `amount` is at least 1. */
export function leavesAtMs(words: Uint32Array, at: number, window: WindowIndex, amount: number): number {
  const ring = at + RINGS + window * RING;
  const newest = Math.floor(word(words, at) / TICKS[window]);
  // The last of it leaves with the newest bucket that holds anything, which after a consumption is this one.
  const isAll = amount === sumOf(words, at, window);
  if (isAll && word(words, ring + (newest % RING)) > 0) return endOf(newest, TICKS[window]);
  let left = amount;
  let bucket = newest - BUCKETS;
  for (; bucket < newest; bucket++) {
    left -= word(words, ring + ((bucket + RING) % RING));
    if (left <= 0) break;
  }
  return endOf(bucket, TICKS[window]);
}

/** A time by which everything has left all windows, in milliseconds since the epoch. */
export function emptyAtMs(words: Uint32Array, at: number): number {
  const tick = word(words, at);
  if (sumOf(words, at, 2) > 0) return endOf(Math.floor(tick / TICKS[2]), TICKS[2]);
  if (sumOf(words, at, 1) > 0) return endOf(Math.floor(tick / TICKS[1]), TICKS[1]);
  return endOf(tick, TICKS[0]);
}

function moveRing(words: Uint32Array, at: number, window: WindowIndex, from: number, to: number): void {
  const sumAt = at + SUMS + window;
  const sum = word(words, sumAt);
  if (sum === 0 || from === to) return;
  const ring = at + RINGS + window * RING;
  if (to < from || to - from > BUCKETS) {
    words.fill(0, ring, ring + RING);
    if (to < from) words[ring + (to % RING)] = sum;
    else words[sumAt] = 0;
    return;
  }
  let left = sum;
  for (let bucket = from + 1; bucket <= to; bucket++) {
    const index = ring + (bucket % RING);
    left -= word(words, index);
    words[index] = 0;
  }
  words[sumAt] = left;
}

/** When what is in a bucket stops counting. */
function endOf(bucket: number, ticks: number): number {
  return (bucket + RING) * ticks * TICK_MS;
}

/** The layout keeps every index within the array. */
function word(words: Uint32Array, index: number): number {
  return words[index] as number;
}
