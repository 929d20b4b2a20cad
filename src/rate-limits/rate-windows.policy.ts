import { add, advance, leavesAtMs, sumOf, tickOf, type WindowIndex } from './window-rings.policy.js';

/** How many requests a key may make in any minute, hour and day, from 1 to 2^32 - 1; null for no limit. */
export interface RateLimitPolicy {
  readonly perMinute: number | null;
  readonly perHour: number | null;
  readonly perDay: number | null;
}

export type WindowName = 'minute' | 'hour' | 'day';

/** Where one window of a key stands after its consumption. */
export interface WindowState {
  readonly window: WindowName;
  readonly limit: number;
  readonly remaining: number;
  /**
   * Milliseconds since the epoch. When this window refused: the earliest time at which it has room for what was
   * asked, if nothing else is consumed. Otherwise, and when the cost is beyond the limit itself: when it is whole again.
   */
  readonly resetAtMs: number;
}

/** The outcome of consuming: from all windows together, or from none. */
export interface ConsumeOutcome {
  readonly allowed: boolean;
  /** The windows that are set, shortest first. */
  readonly windows: readonly WindowState[];
  /** Whole seconds until every window has room, when refused; null when allowed and when the cost can never fit. */
  readonly retryAfterSeconds: number | null;
}

/** The windows, shortest first. */
export const WINDOW_NAMES = ['minute', 'hour', 'day'] as const satisfies readonly WindowName[];

/** The length of each window. */
export const WINDOW_SECONDS: Readonly<Record<WindowName, number>> = { minute: 60, hour: 3_600, day: 86_400 };

/** True when no window is set. */
export function isUnlimited(policy: RateLimitPolicy): boolean {
  return policy.perMinute === null && policy.perHour === null && policy.perDay === null;
}

/** Whether some window has not as much left as `cost`; a cost of 0 needs room for one. */
export function isBeyond(windows: readonly WindowState[], cost: number): boolean {
  return windows.some(({ remaining }) => remaining < Math.max(1, cost));
}

/**
 * Consumes `cost` from the windows kept in `words` from index `at` on. A cost of 0 only peeks, and is refused when
 * some window has nothing remaining.
 *
 * Consumption counts in a window from when that window is set: what a key did before its hour was limited is not
 * held against it; what it did since is kept however the limit changes, even while it is removed.
 */
export function consumeFrom(
  words: Uint32Array,
  at: number,
  policy: RateLimitPolicy,
  cost: number,
  nowMs: number,
): ConsumeOutcome {
  const tick = advance(words, at, tickOf(nowMs));
  const { perMinute, perHour, perDay } = policy;
  const needed = cost === 0 ? 1 : cost;
  const allowed =
    (perMinute === null || sumOf(words, at, 0) + needed <= perMinute) &&
    (perHour === null || sumOf(words, at, 1) + needed <= perHour) &&
    (perDay === null || sumOf(words, at, 2) + needed <= perDay);
  if (allowed && cost > 0) addToAll(words, at, policy, cost, tick);
  const refused = allowed ? 0 : needed;
  const windows: WindowState[] = [];
  if (perMinute !== null) windows.push(stateOf(words, at, 0, perMinute, refused, nowMs));
  if (perHour !== null) windows.push(stateOf(words, at, 1, perHour, refused, nowMs));
  if (perDay !== null) windows.push(stateOf(words, at, 2, perDay, refused, nowMs));
  return { allowed, windows, retryAfterSeconds: allowed ? null : secondsUntilRoom(windows, needed, nowMs) };
}

/** Counts what another judge admitted, in the windows that are set. */
export function note(
  words: Uint32Array,
  at: number,
  policy: RateLimitPolicy,
  cost: number,
  nowMs: number,
): void {
  addToAll(words, at, policy, cost, advance(words, at, tickOf(nowMs)));
}

function addToAll(words: Uint32Array, at: number, policy: RateLimitPolicy, cost: number, tick: number): void {
  if (policy.perMinute !== null) add(words, at, 0, cost, tick);
  if (policy.perHour !== null) add(words, at, 1, cost, tick);
  if (policy.perDay !== null) add(words, at, 2, cost, tick);
}

/** `refused` is what some window had no room for; 0 when it was admitted. */
function stateOf(
  words: Uint32Array,
  at: number,
  window: WindowIndex,
  limit: number,
  refused: number,
  nowMs: number,
): WindowState {
  const sum = sumOf(words, at, window);
  const isWaiting = refused > 0 && refused <= limit && sum + refused > limit;
  const resetAtMs =
    sum === 0 ? nowMs : leavesAtMs(words, at, window, isWaiting ? sum + refused - limit : sum);
  return { window: WINDOW_NAMES[window], limit, remaining: sum < limit ? limit - sum : 0, resetAtMs };
}

/** For windows some of which refused what was needed. */
export function secondsUntilRoom(
  windows: readonly WindowState[],
  needed: number,
  nowMs: number,
): number | null {
  let latestMs = nowMs;
  for (const { limit, remaining, resetAtMs } of windows) {
    if (needed > limit) return null;
    if (needed > remaining && resetAtMs > latestMs) latestMs = resetAtMs;
  }
  return Math.max(1, Math.ceil((latestMs - nowMs) / 1_000));
}
