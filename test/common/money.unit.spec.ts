import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { centsFromMicroCents, decimalCentsFromMicroCents } from '../../src/common/money.js';

const amount = fc.bigInt({ min: 0n, max: 9_223_372_036_854_775_807n });

describe('money', () => {
  it.each([
    [0n, 0, '0.000000'],
    [1n, 0, '0.000001'],
    [499_999n, 0, '0.499999'],
    [500_000n, 1, '0.500000'],
    [999_999n, 1, '0.999999'],
    [1_000_000n, 1, '1.000000'],
    [1_499_999n, 1, '1.499999'],
    [1_500_000n, 2, '1.500000'],
    [12_000_350n, 12, '12.000350'],
    [9_007_199_254_740_993n, 9_007_199_255, '9007199254.740993'],
    [9_223_372_036_854_775_807n, 9_223_372_036_855, '9223372036854.775807'],
  ])('%d micro-cents are %d cents rounded half up, and exactly %s', (microCents, cents, decimal) => {
    expect(centsFromMicroCents(microCents)).toBe(cents);
    expect(decimalCentsFromMicroCents(microCents)).toBe(decimal);
  });

  it('shows an amount below zero with its sign', () => {
    expect(decimalCentsFromMicroCents(-1n)).toBe('-0.000001');
    expect(decimalCentsFromMicroCents(-12_500_000n)).toBe('-12.500000');
  });

  it('keeps every micro-cent in the decimal, and is never more than half a cent away in the cents', () => {
    fc.assert(
      fc.property(amount, (microCents) => {
        const decimal = decimalCentsFromMicroCents(microCents);
        expect(BigInt(decimal.replace('.', ''))).toBe(microCents);
        const difference = BigInt(centsFromMicroCents(microCents)) * 1_000_000n - microCents;
        expect(difference > -500_000n && difference <= 500_000n).toBe(true);
      }),
    );
  });
});
