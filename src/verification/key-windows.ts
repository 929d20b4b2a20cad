import type { CachedKey } from '../api-keys/cached-key.js';
import { consumeFromLine } from '../rate-limits/line-consumption.js';
import type { RateLimiter } from '../rate-limits/rate-limiter.js';
import type { ConsumeOutcome } from '../rate-limits/rate-windows.policy.js';

/** Consumes from all rate windows that bind a key, its own and its ancestors', or from none. */
export function consumeFor(
  limiter: RateLimiter,
  { apiKeyId, rateLimits, line }: CachedKey,
  cost: number,
  nowMs: number,
): ConsumeOutcome | Promise<ConsumeOutcome> {
  return line === undefined
    ? limiter.consume(apiKeyId, rateLimits, cost, nowMs)
    : consumeFromLine(limiter, line, cost, nowMs);
}
