import fc from 'fast-check';
import { expect } from 'vitest';
import {
  type RateLimitPolicy,
  type ConsumeOutcome,
  WINDOW_NAMES,
  WINDOW_SECONDS,
  type WindowName,
} from '../../src/rate-limits/rate-windows.policy.js';

interface Entry {
  readonly atMs: number;
  readonly cost: number;
}

/** Every admission with its time, in the windows that were set. */
export class ExactLog {
  readonly #entries: Record<WindowName, Entry[]> = { minute: [], hour: [], day: [] };

  record(policy: RateLimitPolicy, cost: number, atMs: number): void {
    const limits = limitsOf(policy);
    for (const name of WINDOW_NAMES) if (limits[name] !== null) this.#entries[name].push({ atMs, cost });
  }

  /** What was admitted from a time on. */
  sum(window: WindowName, fromMs: number): number {
    return this.#entries[window]
      .filter(({ atMs }) => atMs >= fromMs)
      .reduce((sum, { cost }) => sum + cost, 0);
  }
}

/** Holds an outcome against all that is promised of windows. Call it with every outcome, in order. */
export function expectExact(
  log: ExactLog,
  outcome: ConsumeOutcome,
  policy: RateLimitPolicy,
  cost: number,
  nowMs: number,
): void {
  const limits = limitsOf(policy);
  expect(outcome.windows.map(({ window }) => window)).toEqual(
    WINDOW_NAMES.filter((name) => limits[name] !== null),
  );
  if (outcome.allowed && cost > 0) log.record(policy, cost, nowMs);
  let hasReason = false;
  for (const { window, limit, remaining, resetAtMs } of outcome.windows) {
    const lengthMs = WINDOW_SECONDS[window] * 1_000;
    const least = log.sum(window, nowMs - lengthMs);
    const most = log.sum(window, nowMs - lengthMs * 1.1 + 1);
    expect(limit).toBe(limits[window]);
    if (outcome.allowed && cost > 0) {
      expect(least, `admitted in the ${window} that ends now`).toBeLessThanOrEqual(limit);
    }
    if (outcome.allowed && cost === 0) expect(remaining).toBeGreaterThan(0);
    if (most + Math.max(cost, 1) > limit) hasReason = true;
    expect(remaining).toBeLessThanOrEqual(Math.max(0, limit - least));
    expect(remaining).toBeGreaterThanOrEqual(Math.max(0, limit - most));
    expect(resetAtMs).toBeGreaterThanOrEqual(nowMs);
    expect(resetAtMs).toBeLessThanOrEqual(nowMs + lengthMs * 1.1);
  }
  if (!outcome.allowed) expect(hasReason, 'refused though it fits even a tenth late').toBe(true);
}

/** Holds an outcome against the promise of admissions alone: for clocks that do not tell the real time. */
export function expectNoExcess(
  log: ExactLog,
  outcome: ConsumeOutcome,
  policy: RateLimitPolicy,
  cost: number,
  realMs: number,
): void {
  if (outcome.allowed && cost > 0) log.record(policy, cost, realMs);
  for (const { window, limit } of outcome.windows) {
    const sum = log.sum(window, realMs - WINDOW_SECONDS[window] * 1_000);
    if (outcome.allowed && cost > 0) expect(sum).toBeLessThanOrEqual(limit);
  }
}

/** The limit of each window. */
function limitsOf(policy: RateLimitPolicy): Record<WindowName, number | null> {
  return { minute: policy.perMinute, hour: policy.perHour, day: policy.perDay };
}

/** One take of a history. */
export interface Step {
  /** Milliseconds since the step before. */
  readonly gapMs: number;
  readonly cost: number;
  /** Another policy from here on. */
  readonly policy: RateLimitPolicy | undefined;
}

const EDGES = [60_000, 3_600_000, 86_400_000].flatMap((length) =>
  [length / 10, length, (length * 11) / 10].flatMap((time) => [time - 1, time, time + 1]),
);

const limit = fc.option(fc.integer({ min: 1, max: 30 }), { freq: 4 });

export const anyPolicy: fc.Arbitrary<RateLimitPolicy> = fc.record({
  perMinute: limit,
  perHour: limit,
  perDay: limit,
});

/** Times of year 2026, at and off the edges of buckets. */
export const anyStart = fc
  .tuple(fc.integer({ min: 0, max: 365 * 10 }), fc.constantFrom(0, 1, 8_639_999, 4_000_000))
  .map(([buckets, rest]) => Date.UTC(2026, 0, 1) + buckets * 8_640_000 + rest);

export const anyHistory: fc.Arbitrary<Step[]> = fc.array(
  fc.record({
    gapMs: fc.oneof(
      { weight: 4, arbitrary: fc.integer({ min: 0, max: 100 }) },
      { weight: 4, arbitrary: fc.integer({ min: 0, max: 9_000 }) },
      { weight: 3, arbitrary: fc.integer({ min: 0, max: 90_000 }) },
      { weight: 2, arbitrary: fc.integer({ min: 0, max: 5_000_000 }) },
      { weight: 1, arbitrary: fc.integer({ min: 0, max: 120_000_000 }) },
      { weight: 3, arbitrary: fc.constantFrom(...EDGES) },
    ),
    cost: fc.oneof({ weight: 4, arbitrary: fc.constant(1) }, fc.integer({ min: 0, max: 12 })),
    policy: fc.option(anyPolicy, { freq: 8, nil: undefined }),
  }),
  { minLength: 1, maxLength: 80 },
);

/** By how many milliseconds the clock is set back before each step: mostly not. */
export const anySetBacks: fc.Arbitrary<fc.Stream<number>> = fc.infiniteStream(
  fc.oneof(
    { weight: 6, arbitrary: fc.constant(0) },
    fc.integer({ min: 0, max: 20 }),
    fc.integer({ min: 0, max: 20_000 }),
    fc.integer({ min: 0, max: 100_000_000 }),
    fc.constant(10 * 365 * 86_400_000),
  ),
);
