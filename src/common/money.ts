/** Money is an integer count of micro-cents, a millionth of a cent, held as bigint and never as a float. */
export const MICRO_CENTS_PER_CENT = 1_000_000n;

/** Whole cents, rounded half up: 500,000 micro-cents are 1 cent. */
export function centsFromMicroCents(microCents: bigint): number {
  const rounded = (microCents + MICRO_CENTS_PER_CENT / 2n) / MICRO_CENTS_PER_CENT;
  return Number(rounded);
}

/** The exact amount in cents as a decimal string with six places, e.g. `12.000350`. */
export function decimalCentsFromMicroCents(microCents: bigint): string {
  const sign = microCents < 0n ? '-' : '';
  const size = microCents < 0n ? -microCents : microCents;
  const fraction = (size % MICRO_CENTS_PER_CENT).toString().padStart(6, '0');
  return `${sign}${size / MICRO_CENTS_PER_CENT}.${fraction}`;
}
