import { wireInteger } from './wire-integer.js';

/** Money is an integer count of micro-cents, a millionth of a cent, held as bigint and never as a float. */
export const MICRO_CENTS_PER_CENT = 1_000_000n;

/** Whole cents, rounded half up: 500,000 micro-cents are 1 cent. At most 2^53 − 1. */
export function centsFromMicroCents(microCents: bigint): number {
  return wireInteger((microCents + MICRO_CENTS_PER_CENT / 2n) / MICRO_CENTS_PER_CENT);
}

/** The exact amount in cents as a decimal string with six places, e.g. `12.000350`. */
export function decimalCentsFromMicroCents(microCents: bigint): string {
  const sign = microCents < 0n ? '-' : '';
  const size = microCents < 0n ? -microCents : microCents;
  const fraction = (size % MICRO_CENTS_PER_CENT).toString().padStart(6, '0');
  return `${sign}${size / MICRO_CENTS_PER_CENT}.${fraction}`;
}

/** The most that one amount may be, in cents. */
const MOST_CENTS = 1_000_000_000_000n;

/** A number as JavaScript shows it is exact up to this many digits. */
const EXACT_DIGITS = 15;

/**
 * Micro-cents of an amount in cents, given as a JSON number or as a string with up to six decimals. Undefined for
 * anything that is not exactly such an amount: negative, not finite, with an exponent, too precise, too large, or a
 * number of more digits than a number keeps.
 */
export function parseCents(value: unknown): bigint | undefined {
  if (typeof value !== 'number' && typeof value !== 'string') return undefined;
  const match = /^(\d{1,13})(?:\.(\d{1,6}))?$/.exec(String(value));
  if (match === null) return undefined;
  const [, whole = '', fraction = ''] = match;
  if (typeof value === 'number' && whole.length + fraction.length > EXACT_DIGITS) return undefined;
  const microCents = BigInt(whole) * MICRO_CENTS_PER_CENT + BigInt(fraction.padEnd(6, '0'));
  return microCents <= MOST_CENTS * MICRO_CENTS_PER_CENT ? microCents : undefined;
}
