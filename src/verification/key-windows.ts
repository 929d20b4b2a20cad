import type { KeySnapshot } from '../api-keys/snapshot.js';
import { takeFromLine } from '../rate-limits/line-take.js';
import type { RateLimiter } from '../rate-limits/rate-limiter.js';
import type { TakeOutcome } from '../rate-limits/rate-windows.policy.js';

/** Consumes from all rate windows that bind a key, its own and its ancestors', or from none. */
export function takeFor(
  limiter: RateLimiter,
  { apiKeyId, rateLimits, line }: KeySnapshot,
  cost: number,
  nowMs: number,
): TakeOutcome | Promise<TakeOutcome> {
  return line === undefined
    ? limiter.take(apiKeyId, rateLimits, cost, nowMs)
    : takeFromLine(limiter, line, cost, nowMs);
}
