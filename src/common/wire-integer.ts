const MOST = BigInt(Number.MAX_SAFE_INTEGER);

/**
 * A count as an integer of JSON, which clients read exactly up to 2^53 − 1: larger counts are shown as that, and their exact
 * digits are in the `*_decimal` field beside it.
 */
export function wireInteger(count: bigint): number {
  return Number(count < MOST ? count : MOST);
}
