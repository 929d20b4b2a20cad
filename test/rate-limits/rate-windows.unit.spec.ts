import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { isUnlimited, type RateLimitPolicy, consumeFrom } from '../../src/rate-limits/rate-windows.policy.js';
import { emptyAtMs, WINDOW_WORDS } from '../../src/rate-limits/window-rings.policy.js';
import {
  anyHistory,
  anyPolicy,
  anySetBacks,
  anyStart,
  ExactLog,
  expectExact,
  expectNoExcess,
} from './exact-log.js';

const NOON = Date.UTC(2026, 10, 22, 12);
const MINUTE = 60_000;

function windows(): Uint32Array {
  return new Uint32Array(WINDOW_WORDS);
}

function perMinute(limit: number): RateLimitPolicy {
  return { perMinute: limit, perHour: null, perDay: null };
}

describe('sliding windows', () => {
  it('never admit more than the limit, wherever a window begins, and give back at most a tenth late', () => {
    fc.assert(
      fc.property(anyPolicy, anyStart, anyHistory, (firstPolicy, startMs, steps) => {
        const words = windows();
        const log = new ExactLog();
        let policy = firstPolicy;
        let nowMs = startMs;
        for (const { gapMs, cost, policy: nextPolicy } of steps) {
          nowMs += gapMs;
          policy = nextPolicy ?? policy;
          expectExact(log, consumeFrom(words, 0, policy, cost, nowMs), policy, cost, nowMs);
        }
      }),
      { numRuns: 1_000 },
    );
  });

  it('have room at the very millisecond that a refusal names, and not before', () => {
    fc.assert(
      fc.property(anyPolicy, anyStart, anyHistory, (policy, startMs, steps) => {
        fc.pre(!isUnlimited(policy));
        const words = windows();
        let nowMs = startMs;
        for (const { gapMs, cost } of steps) {
          nowMs += gapMs;
          const { allowed, windows: states, retryAfterSeconds } = consumeFrom(words, 0, policy, cost, nowMs);
          if (allowed || retryAfterSeconds === null) continue;
          const refusing = states.filter(({ remaining }) => remaining < Math.max(cost, 1));
          const roomAtMs = Math.max(...refusing.map(({ resetAtMs }) => resetAtMs));
          expect(retryAfterSeconds).toBe(Math.ceil((roomAtMs - nowMs) / 1_000));
          expect(consumeFrom(words.slice(), 0, policy, cost, roomAtMs - 1).allowed).toBe(false);
          expect(consumeFrom(words.slice(), 0, policy, cost, roomAtMs).allowed).toBe(true);
        }
      }),
      { numRuns: 500 },
    );
  });

  it('never admit more than the limit in real time when the clock is set back', () => {
    fc.assert(
      fc.property(anyPolicy, anyHistory, anySetBacks, (policy, steps, setBacks) => {
        const words = windows();
        const log = new ExactLog();
        let realMs = NOON;
        let aheadMs = 0;
        for (const { gapMs, cost } of steps) {
          realMs += gapMs;
          aheadMs -= setBacks.next().value as number;
          const nowMs = Math.max(realMs + aheadMs, Date.UTC(1980));
          expectNoExcess(log, consumeFrom(words, 0, policy, cost, nowMs), policy, cost, realMs);
        }
      }),
      { numRuns: 1_000 },
    );
  });

  it('forget nothing and lock nobody out when the clock was ten years ahead for a second', () => {
    const words = windows();
    const tenYears = 10 * 365 * 86_400_000;
    consumeFrom(words, 0, perMinute(10), 4, NOON + tenYears);
    expect(consumeFrom(words, 0, perMinute(10), 0, NOON).windows[0]?.remaining).toBe(6);
    expect(consumeFrom(words, 0, perMinute(10), 0, NOON + MINUTE).windows[0]?.remaining).toBe(6);
    expect(consumeFrom(words, 0, perMinute(10), 10, NOON + 1.1 * MINUTE).allowed).toBe(true);
  });

  it('count requests that arrive in another order than they read the clock', () => {
    const words = windows();
    consumeFrom(words, 0, perMinute(10), 3, NOON + 1);
    consumeFrom(words, 0, perMinute(10), 3, NOON - 1);
    expect(consumeFrom(words, 0, perMinute(10), 0, NOON + MINUTE).windows[0]?.remaining).toBe(4);
  });

  it('are taken together or not at all', () => {
    const words = windows();
    const policy = { perMinute: 100, perHour: 10, perDay: 100 };
    expect(consumeFrom(words, 0, policy, 8, NOON).allowed).toBe(true);
    const before = words.slice();
    const refused = consumeFrom(words, 0, policy, 3, NOON);
    expect(refused.allowed).toBe(false);
    expect(refused.windows.map(({ remaining }) => remaining)).toEqual([92, 2, 92]);
    expect(words).toEqual(before);
  });

  it('only look at a cost of 0, which is refused when one of them has nothing remaining', () => {
    const words = windows();
    const policy = { perMinute: 2, perHour: 100, perDay: null };
    expect(consumeFrom(words, 0, policy, 0, NOON)).toMatchObject({ allowed: true, retryAfterSeconds: null });
    expect(consumeFrom(words, 0, policy, 0, NOON).windows).toEqual([
      { window: 'minute', limit: 2, remaining: 2, resetAtMs: NOON },
      { window: 'hour', limit: 100, remaining: 100, resetAtMs: NOON },
    ]);
    consumeFrom(words, 0, policy, 2, NOON);
    const look = consumeFrom(words, 0, policy, 0, NOON);
    expect(look).toMatchObject({ allowed: false, retryAfterSeconds: 66 });
    expect(look.windows.map(({ remaining }) => remaining)).toEqual([0, 98]);
  });

  it('say when they are whole again, and when what they refused has room', () => {
    const words = windows();
    consumeFrom(words, 0, perMinute(10), 4, NOON);
    consumeFrom(words, 0, perMinute(10), 4, NOON + 30_000);
    const whole = consumeFrom(words, 0, perMinute(10), 1, NOON + 30_000);
    expect(whole.windows[0]).toMatchObject({ remaining: 1, resetAtMs: NOON + 30_000 + 66_000 });
    const refused = consumeFrom(words, 0, perMinute(10), 5, NOON + 31_000);
    expect(refused).toMatchObject({ allowed: false, retryAfterSeconds: 35 });
    expect(refused.windows[0]?.resetAtMs).toBe(NOON + 66_000);
  });

  it('name no time for a cost beyond the limit', () => {
    const refused = consumeFrom(windows(), 0, perMinute(10), 11, NOON);
    expect(refused).toMatchObject({ allowed: false, retryAfterSeconds: null });
    expect(refused.windows[0]?.resetAtMs).toBe(NOON);
  });

  it('keep what was consumed when a limit is raised, lowered, removed and set again', () => {
    const words = windows();
    consumeFrom(words, 0, perMinute(10), 8, NOON);
    const remaining = (policy: RateLimitPolicy) =>
      consumeFrom(words, 0, policy, 0, NOON).windows[0]?.remaining;
    expect(remaining(perMinute(20))).toBe(12);
    expect(remaining(perMinute(5))).toBe(0);
    expect(consumeFrom(words, 0, { perMinute: null, perHour: null, perDay: null }, 50, NOON).allowed).toBe(
      true,
    );
    expect(remaining(perMinute(10))).toBe(2);
  });

  it('count from when they are set: earlier requests are not held against a new limit', () => {
    const words = windows();
    consumeFrom(words, 0, perMinute(100), 50, NOON);
    const policy = { perMinute: 100, perHour: 60, perDay: null };
    expect(consumeFrom(words, 0, policy, 0, NOON).windows.map(({ remaining }) => remaining)).toEqual([
      50, 60,
    ]);
  });

  it('know when nothing will be left in them', () => {
    const words = windows();
    consumeFrom(words, 0, { perMinute: 5, perHour: 5, perDay: null }, 1, NOON);
    expect(emptyAtMs(words, 0)).toBe(NOON + 66 * MINUTE);
  });
});
