import type { OnApplicationShutdown, OnModuleInit } from '@nestjs/common';
import { Clock } from '../common/clock.js';
import type { Metrics } from '../observability/metrics.service.js';
import type { InstanceRegistry } from './instance-registry.service.js';
import type { MemoryRateLimiter } from './memory-rate-limiter.service.js';
import { assertCost, RateLimiter } from './rate-limiter.js';
import { isUnlimited, type RateLimitPolicy, type ConsumeOutcome } from './rate-windows.policy.js';
import { RedisReports } from './redis-reports.js';
import { hasLost, outcomeOf } from './redis-consumption.js';
import { RedisWindows } from './redis-windows.js';

/** When to ask again about a cost that fits the limit but not this instance's part of it. */
const RETRY_WHILE_DEGRADED_SECONDS = 2;

/**
 * Windows in Redis, shared by all instances and dated by its clock. With Redis away each instance judges by windows
 * of its own at its part of the limit, and says so in the metrics. What it admitted through Redis counts in them
 * too: losing Redis gives nobody a second limit. The other way round, what it admitted without Redis is added to the
 * windows there once it is back, and what Redis has lost of this instance's part is restored before a request counts.
 */
export class RedisRateLimiter extends RateLimiter implements OnModuleInit, OnApplicationShutdown {
  readonly #redis: RedisWindows;
  readonly #reports: RedisReports;
  #localConsumptions = 0;

  constructor(
    url: string,
    private readonly local: MemoryRateLimiter,
    private readonly instances: Pick<InstanceRegistry, 'count'>,
    metrics: Metrics,
    clock: Clock = new Clock(),
  ) {
    super();
    const reports = new RedisReports(metrics);
    this.#reports = reports;
    const parts = {
      keys: (isAll: boolean) => local.keysToShare(isAll),
      partOf: (apiKeyId: number, nowMs: number) => local.partOf(apiKeyId, nowMs),
      nowMs: () => clock.nowMs(),
    };
    this.#redis = new RedisWindows(url, parts, {
      away: (node, reason) => reports.away(node, reason),
      back: (node) => reports.back(node),
      emptied: (node) => reports.emptied(node),
      connected: (infos) => reports.memory(infos),
    });
    this.#measure(metrics);
  }

  async onModuleInit(): Promise<void> {
    await this.#redis.open();
  }

  onApplicationShutdown(): void {
    this.#redis.close();
  }

  /** True while Redis, or a node of it, is unavailable. */
  get isDegraded(): boolean {
    return this.#redis.isAway;
  }

  consume(
    apiKeyId: number,
    policy: RateLimitPolicy,
    cost: number,
    nowMs: number,
  ): ConsumeOutcome | Promise<ConsumeOutcome> {
    assertCost(cost);
    if (isUnlimited(policy)) return this.local.consume(apiKeyId, policy, cost, nowMs);
    if (this.#redis.isAwayFor(apiKeyId)) return this.#consumeLocally(apiKeyId, policy, cost, nowMs);
    return this.#consumeInRedis(apiKeyId, policy, cost, nowMs);
  }

  async #consumeInRedis(
    apiKeyId: number,
    policy: RateLimitPolicy,
    cost: number,
    nowMs: number,
  ): Promise<ConsumeOutcome> {
    const reply = await this.#redis.consume(apiKeyId, policy, cost, nowMs);
    if (reply === undefined) return this.#consumeLocally(apiKeyId, policy, cost, nowMs);
    if (hasLost(reply)) this.#reports.restored();
    const outcome = outcomeOf(reply, policy, cost, nowMs);
    if (outcome.allowed && cost > 0) this.local.note(apiKeyId, policy, cost, nowMs);
    return outcome;
  }

  /** Judges by this instance's part; the limits it answers are the key's. */
  #consumeLocally(apiKeyId: number, policy: RateLimitPolicy, cost: number, nowMs: number): ConsumeOutcome {
    this.#localConsumptions++;
    const { count } = this.instances;
    const outcome = this.local.consumeUnshared(apiKeyId, partOf(policy, count), cost, nowMs);
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

  #measure(metrics: Metrics): void {
    const isAway = () => this.#redis.isAway;
    metrics.gauge({
      name: 'latchkey_rate_limiter_degraded',
      help: 'With Redis: 1 while it, or a node of a cluster, is unavailable and rate limits are divided among the instances; else 0.',
      collect() {
        this.set(isAway() ? 1 : 0);
      },
    });
    const localConsumptions = () => this.#localConsumptions;
    metrics.counter({
      name: 'latchkey_rate_limiter_local_takes_total',
      help: 'With Redis: requests that were judged by local windows because it was unavailable.',
      collect() {
        this.reset();
        this.inc(localConsumptions());
      },
    });
  }
}

/** One instance's part of every limit, at least 1. */
function partOf(policy: RateLimitPolicy, instances: number): RateLimitPolicy {
  const part = (limit: number | null) => (limit === null ? null : Math.max(1, Math.floor(limit / instances)));
  return { perMinute: part(policy.perMinute), perHour: part(policy.perHour), perDay: part(policy.perDay) };
}
