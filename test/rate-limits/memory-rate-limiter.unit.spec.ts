import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Metrics } from '../../src/observability/metrics.service.js';
import { MemoryRateLimiter } from '../../src/rate-limits/memory-rate-limiter.service.js';
import { tickOf } from '../../src/rate-limits/window-rings.policy.js';
import { WindowTable } from '../../src/rate-limits/window-table.js';
import { anyPolicy, anyStart, anyHistory, ExactLog, expectExact } from './exact-log.js';

const NOON = Date.UTC(2026, 10, 22, 12);
const POLICY = { perMinute: 100, perHour: 1_000, perDay: 10_000 };

function limiter(): MemoryRateLimiter {
  return new MemoryRateLimiter(new Metrics());
}

describe('rate limits in memory', () => {
  it('admit exactly the limit of 2,000 concurrent requests', async () => {
    const memory = limiter();
    const takes = Array.from({ length: 2_000 }, async () => memory.consume(1, POLICY, 1, NOON));
    const outcomes = await Promise.all(takes);
    expect(outcomes.filter(({ allowed }) => allowed)).toHaveLength(100);
  });

  it('keep each key apart, through sweeps at any time', () => {
    const anyKeys = fc.array(fc.integer({ min: 1, max: 5 }), { minLength: 80, maxLength: 80 });
    fc.assert(
      fc.property(anyPolicy, anyStart, anyHistory, anyKeys, (policy, startMs, steps, keys) => {
        const memory = limiter();
        const logs = Array.from({ length: 6 }, () => new ExactLog());
        let nowMs = startMs;
        for (const [index, { gapMs, cost }] of steps.entries()) {
          nowMs += gapMs;
          const key = keys[index] ?? 1;
          expectExact(logs[key]!, memory.consume(key, policy, cost, nowMs), policy, cost, nowMs);
          memory.table.sweep(2, tickOf(nowMs));
        }
      }),
      { numRuns: 300 },
    );
  });

  it('refuse a cost that would give back', () => {
    const memory = limiter();
    for (const cost of [-1, 0.5, Number.NaN, Number.POSITIVE_INFINITY]) {
      expect(() => memory.consume(1, POLICY, cost, NOON)).toThrow(RangeError);
    }
  });

  it('remember nothing of keys without limits, of looks and of refusals', () => {
    const memory = limiter();
    const unlimited = { perMinute: null, perHour: null, perDay: null };
    expect(memory.consume(1, unlimited, 5, NOON)).toEqual({
      allowed: true,
      windows: [],
      retryAfterSeconds: null,
    });
    memory.consume(2, POLICY, 0, NOON);
    memory.consume(3, POLICY, 101, NOON);
    expect(memory.table.size).toBe(0);
  });

  it('forget a key when its windows are empty, and no sooner', () => {
    const memory = limiter();
    memory.consume(1, { ...POLICY, perHour: null, perDay: null }, 1, NOON);
    memory.consume(2, { ...POLICY, perDay: null }, 1, NOON);
    memory.table.sweep(10, tickOf(NOON + 65_999));
    expect(memory.table.size).toBe(2);
    memory.table.sweep(10, tickOf(NOON + 66_000));
    expect(memory.table.size).toBe(1);
    memory.table.sweep(10, tickOf(NOON + 66 * 60_000));
    expect(memory.table.size).toBe(0);
    expect(memory.table.evictions).toBe(0);
  });

  it('say in the metrics how many keys they hold and how many they had to forget', async () => {
    const metrics = new Metrics();
    new MemoryRateLimiter(metrics).consume(1, POLICY, 1, NOON);
    const text = await metrics.text();
    expect(text).toContain('latchkey_rate_limiter_keys 1');
    expect(text).toContain('latchkey_rate_limiter_unsaved_keys 1');
    expect(text).toContain('latchkey_rate_limiter_evictions_total 0');
  });
});

describe('the table of windows', () => {
  it('evicts the least recently used key beyond its bound, and counts it when it was live', () => {
    const table = new WindowTable(3);
    const tick = tickOf(NOON);
    for (const id of [1, 2, 3]) {
      const slot = table.add(id, tick);
      table.wordsOf(slot).fill(1, table.startOf(slot), table.startOf(slot) + 2);
      table.wordsOf(slot)[table.startOf(slot)] = tick;
    }
    table.touch(table.find(1) ?? -1, false);
    table.add(4, tick);
    expect([1, 2, 3, 4].filter((id) => table.find(id) !== undefined)).toEqual([1, 3, 4]);
    expect(table.evictions).toBe(1);
    table.add(5, tick + 11);
    expect([1, 3, 4, 5].filter((id) => table.find(id) !== undefined)).toEqual([1, 4, 5]);
    expect(table.evictions).toBe(1);
    expect(table.size).toBe(3);
  });

  it('holds every live key below its bound, over many pages', () => {
    const memory = limiter();
    for (let id = 1; id <= 20_000; id++) memory.consume(id, POLICY, id % 100, NOON);
    expect(memory.table.size).toBe(20_000 - 200);
    for (const id of [1, 99, 4_096, 4_097, 12_345, 19_999]) {
      expect(memory.consume(id, POLICY, 0, NOON).windows[0]?.remaining).toBe(100 - (id % 100));
    }
    expect(memory.table.evictions).toBe(0);
  });

  it('behaves as a plain map does, whatever happens to it', () => {
    const anyStep = fc.record({
      id: fc.integer({ min: 1, max: 12 }),
      what: fc.constantFrom('take', 'save', 'sweep'),
      later: fc.integer({ min: 0, max: 4 }),
    });
    fc.assert(
      fc.property(fc.array(anyStep, { maxLength: 200 }), (steps) => {
        const memory = limiter();
        const unsaved = new Set<number>();
        let nowMs = NOON;
        for (const { id, what, later } of steps) {
          nowMs += later * 6_000;
          if (what === 'take') {
            const { allowed } = memory.consume(id, { ...POLICY, perHour: null, perDay: null }, 1, nowMs);
            expect(allowed).toBe(true);
            unsaved.add(id);
          } else if (what === 'sweep') {
            memory.table.sweep(5, tickOf(nowMs));
            for (const each of unsaved) if (memory.table.find(each) === undefined) unsaved.delete(each);
          } else {
            const { apiKeyIds } = memory.table.takeUnsaved(memory.table.unsaved);
            expect(apiKeyIds).toEqual([...unsaved].toSorted((a, b) => a - b));
            unsaved.clear();
          }
        }
      }),
      { numRuns: 300 },
    );
  });
});
