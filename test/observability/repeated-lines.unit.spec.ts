import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { RepeatedLines } from '../../src/observability/repeated-lines.js';

describe('a line that repeats', () => {
  const written: string[] = [];
  const lines = () => {
    const repeated = new RepeatedLines();
    return (text: string) =>
      repeated.pass(text, (count) => written.push(count === undefined ? text : `${text} ×${count}`));
  };
  beforeEach(() => {
    written.length = 0;
    vi.useFakeTimers();
  });
  afterEach(() => void vi.useRealTimers());

  it('is written at once, then once in ten seconds with the number of times that it came', () => {
    const warn = lines();
    for (let turn = 0; turn < 100; turn += 1) warn(`PostgreSQL is away for ${turn} ms`);
    expect(written).toEqual(['PostgreSQL is away for 0 ms']);
    vi.advanceTimersByTime(10_000);
    expect(written).toEqual(['PostgreSQL is away for 0 ms', 'PostgreSQL is away for 99 ms ×99']);
    vi.advanceTimersByTime(60_000);
    warn('PostgreSQL is away for 7 ms');
    expect(written).toHaveLength(3);
  });

  it('holds back no line of another kind', () => {
    const warn = lines();
    warn('Redis is away');
    warn('PostgreSQL is away');
    expect(written).toEqual(['Redis is away', 'PostgreSQL is away']);
  });
});
