import { Logger, type OnApplicationShutdown, type OnModuleInit } from '@nestjs/common';
import type { Metrics } from '../observability/metrics.js';
import type { InstanceRegistry } from './instance-registry.js';
import type { MemoryRateLimiter } from './memory-rate-limiter.js';
import { assertCost, RateLimiter } from './rate-limiter.js';
import { isUnlimited, type RateLimitPolicy, type TakeOutcome } from './rate-windows.policy.js';
import { outcomeOf } from './redis-take.js';
import { RedisWindows } from './redis-windows.js';

/** When to ask again about a cost that fits the limit but not this instance's part of it. */
const RETRY_WHILE_DEGRADED_SECONDS = 2;
/** A Redis that comes and goes is told of this often. */
const QUIET_MS = 10_000;

/**
 * Windows in Redis, shared by all instances and dated by its clock. With Redis away each instance judges by windows
 * of its own at its part of the limit, and says so in the metrics. What it admitted through Redis counts in them
 * too: losing Redis gives nobody a second limit.
 */
export class RedisRateLimiter extends RateLimiter implements OnModuleInit, OnApplicationShutdown {
  readonly #logger = new Logger(RedisRateLimiter.name);
  readonly #redis: RedisWindows;
  #losses = 0;
  #localTakes = 0;
  #toldAtMs = -QUIET_MS;

  constructor(
    url: string,
    private readonly local: MemoryRateLimiter,
    private readonly instances: Pick<InstanceRegistry, 'count'>,
    metrics: Metrics,
  ) {
    super();
    this.#redis = new RedisWindows(url, (isAway, reason) => this.#note(isAway, reason));
    this.#measure(metrics);
  }

  async onModuleInit(): Promise<void> {
    await this.#redis.open();
  }

  onApplicationShutdown(): void {
    this.#redis.close();
  }

  /** True while Redis is away. */
  get isDegraded(): boolean {
    return this.#redis.isAway;
  }

  take(
    apiKeyId: number,
    policy: RateLimitPolicy,
    cost: number,
    nowMs: number,
  ): TakeOutcome | Promise<TakeOutcome> {
    assertCost(cost);
    if (isUnlimited(policy)) return this.local.take(apiKeyId, policy, cost, nowMs);
    if (this.#redis.isAway) return this.#takeLocally(apiKeyId, policy, cost, nowMs);
    return this.#takeFromRedis(apiKeyId, policy, cost, nowMs);
  }

  async #takeFromRedis(
    apiKeyId: number,
    policy: RateLimitPolicy,
    cost: number,
    nowMs: number,
  ): Promise<TakeOutcome> {
    const reply = await this.#redis.take(apiKeyId, policy, cost);
    if (reply === undefined) return this.#takeLocally(apiKeyId, policy, cost, nowMs);
    const outcome = outcomeOf(reply, policy, cost, nowMs);
    if (outcome.allowed && cost > 0) this.local.note(apiKeyId, policy, cost, nowMs);
    return outcome;
  }

  /** Judges by this instance's part; the limits it answers are the key's. */
  #takeLocally(apiKeyId: number, policy: RateLimitPolicy, cost: number, nowMs: number): TakeOutcome {
    this.#localTakes++;
    const { count } = this.instances;
    const outcome = this.local.take(apiKeyId, partOf(policy, count), cost, nowMs);
    if (count === 1) return outcome;
    const limits = { minute: policy.perMinute, hour: policy.perHour, day: policy.perDay };
    const windows = outcome.windows.map((state) => ({
      ...state,
      limit: limits[state.window] ?? state.limit,
    }));
    const neverFits = windows.some(({ limit }) => cost > limit);
    const retryAfterSeconds =
      outcome.allowed || neverFits ? null : (outcome.retryAfterSeconds ?? RETRY_WHILE_DEGRADED_SECONDS);
    return { allowed: outcome.allowed, windows, retryAfterSeconds };
  }

  #note(isAway: boolean, reason: string): void {
    if (isAway) this.#losses++;
    const nowMs = performance.now();
    const isNews = nowMs - this.#toldAtMs >= QUIET_MS;
    if (isAway && isNews) {
      this.#toldAtMs = nowMs;
      this.#logger.warn(`Redis is away (${reason}): this instance enforces its part of each rate limit.`);
    }
    if (!isAway && this.#losses > 0) this.#logger.log('Redis is back: rate limits are shared again.');
  }

  #measure(metrics: Metrics): void {
    const measure = (name: string, help: string, read: () => number) =>
      metrics.counter({
        name,
        help,
        collect() {
          this.reset();
          this.inc(read());
        },
      });
    const isAway = () => this.#redis.isAway;
    metrics.gauge({
      name: 'latchkey_rate_limiter_degraded',
      help: '1 while Redis is away and rate limits are divided among the instances, else 0.',
      collect() {
        this.set(isAway() ? 1 : 0);
      },
    });
    measure('latchkey_rate_limiter_redis_losses_total', 'Times that Redis went away.', () => this.#losses);
    measure(
      'latchkey_rate_limiter_local_takes_total',
      'Takes answered by local windows because Redis was away.',
      () => this.#localTakes,
    );
  }
}

/** One instance's part of every limit, at least 1. */
function partOf(policy: RateLimitPolicy, instances: number): RateLimitPolicy {
  const part = (limit: number | null) => (limit === null ? null : Math.max(1, Math.floor(limit / instances)));
  return { perMinute: part(policy.perMinute), perHour: part(policy.perHour), perDay: part(policy.perDay) };
}
