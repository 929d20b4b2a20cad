import { describe, expect, it } from 'vitest';
import { KnownRefusals } from '../../src/users/known-refusals.js';

const NOW = 1_800_000_000_000;

describe('a refusal that the database told of', () => {
  it('is believed for a second, and counts down', () => {
    const refusals = new KnownRefusals();
    refusals.add('somebody', 600, NOW);
    expect(refusals.secondsLeft('somebody', NOW)).toBe(600);
    expect(refusals.secondsLeft('somebody', NOW + 999)).toBe(600);
    expect(refusals.secondsLeft('somebody', NOW + 1_000)).toBeUndefined();
    expect(refusals.secondsLeft('somebody', NOW + 1)).toBeUndefined();
  });

  it('is not believed past its end, nor by a clock that was set back', () => {
    const refusals = new KnownRefusals();
    refusals.add('ends soon', 1, NOW);
    expect(refusals.secondsLeft('ends soon', NOW + 500)).toBe(1);
    refusals.add('ends sooner', 0.5, NOW);
    expect(refusals.secondsLeft('ends sooner', NOW + 499)).toBe(1);
    expect(refusals.secondsLeft('ends sooner', NOW + 500)).toBeUndefined();
    refusals.add('set back', 600, NOW);
    expect(refusals.secondsLeft('set back', NOW - 1)).toBeUndefined();
  });

  it('is of one subject alone, and forgotten when that is let in', () => {
    const refusals = new KnownRefusals();
    refusals.add('somebody', 600, NOW);
    expect(refusals.secondsLeft('somebody else', NOW)).toBeUndefined();
    refusals.delete('somebody');
    expect(refusals.secondsLeft('somebody', NOW)).toBeUndefined();
  });

  it('is forgotten once ten thousand newer ones are known', () => {
    const refusals = new KnownRefusals();
    for (let count = 0; count <= 10_000; count += 1) refusals.add(`subject ${count}`, 600, NOW);
    expect(refusals.secondsLeft('subject 0', NOW)).toBeUndefined();
    expect(refusals.secondsLeft('subject 1', NOW)).toBe(600);
    expect(refusals.secondsLeft('subject 10000', NOW)).toBe(600);
  });
});
