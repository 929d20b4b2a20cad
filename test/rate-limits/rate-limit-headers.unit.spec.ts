import { describe, expect, it } from 'vitest';
import { rateLimitHeaders } from '../../src/rate-limits/rate-limit-headers.js';

const NOON = Date.UTC(2026, 10, 22, 12);

describe('rate limit headers', () => {
  it('name each window that is set, as the draft writes lists of structured fields', () => {
    const windows = [
      { window: 'minute', limit: 100, remaining: 42, resetAtMs: NOON + 16_001 },
      { window: 'day', limit: 5_000, remaining: 0, resetAtMs: NOON + 3_600_000 },
    ] as const;
    expect(rateLimitHeaders(windows, NOON)).toEqual({
      'ratelimit-policy': '"minute";q=100;w=60, "day";q=5000;w=86400',
      ratelimit: '"minute";r=42;t=17, "day";r=0;t=3600',
    });
  });

  it('never tell a time that has passed', () => {
    const windows = [{ window: 'hour', limit: 1, remaining: 1, resetAtMs: NOON - 1 }] as const;
    expect(rateLimitHeaders(windows, NOON)['ratelimit']).toBe('"hour";r=1;t=0');
  });

  it('are absent when no window is set', () => {
    expect(rateLimitHeaders([], NOON)).toEqual({});
  });
});
