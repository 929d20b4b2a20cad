import type { RateLimitPolicy, ConsumeOutcome } from './rate-windows.policy.js';

/** The cost with which `consume` reads the windows and consumes nothing. */
export const PEEK = 0;

/**
 * Judges and counts what a key consumes. State belongs to the key and the window, not to the limit or the secret:
 * neither another limit nor a new secret gives anything back.
 */
export abstract class RateLimiter {
  /**
   * Takes `cost` from every window of the policy, or from none. Windows in memory answer at once, those in Redis
   * with a promise that is never rejected: after 150 ms of silence, and when Redis is known to be away, local windows
   * answer instead.
   *
   * @param cost how many requests this one counts as; an integer, or `PEEK`
   * @param nowMs the time, in milliseconds since the epoch
   * @throws RangeError when `cost` is anything else
   */
  abstract consume(
    apiKeyId: number,
    policy: RateLimitPolicy,
    cost: number,
    nowMs: number,
  ): ConsumeOutcome | Promise<ConsumeOutcome>;
}

/** @throws RangeError for what would give back or confuse what was consumed */
export function assertCost(cost: number): void {
  if (!Number.isSafeInteger(cost) || cost < 0) throw new RangeError('A cost is an integer, at least 0.');
}
