import { Injectable } from '@nestjs/common';
import { Metrics } from '../observability/metrics.service.js';
import { assertCost, RateLimiter } from './rate-limiter.js';
import {
  isUnlimited,
  note,
  type RateLimitPolicy,
  consumeFrom,
  type ConsumeOutcome,
} from './rate-windows.policy.js';
import { advance, sumOf, sureSumOf, tickOf, WINDOW_WORDS } from './window-rings.policy.js';
import { WindowTable } from './window-table.js';

/** Keys with something in their windows that are remembered: below it, none is ever forgotten. */
const MOST_KEYS = 1_000_000;

const UNLIMITED: ConsumeOutcome = Object.freeze({ allowed: true, windows: [], retryAfterSeconds: null });

/** Windows in the memory of this instance. Takes are answered at once, so they cannot interleave. */
@Injectable()
export class MemoryRateLimiter extends RateLimiter {
  readonly table = new WindowTable(MOST_KEYS);
  /** The windows of a key that nothing is known of; zeros between consumptions. */
  readonly #blank = new Uint32Array(WINDOW_WORDS);

  constructor(metrics: Metrics) {
    super();
    const { table } = this;
    metrics.gauge({
      name: 'latchkey_rate_limiter_keys',
      help: 'Keys whose rate windows are in memory.',
      collect() {
        this.set(table.size);
      },
    });
    metrics.gauge({
      name: 'latchkey_rate_limiter_unsaved_keys',
      help: 'Keys whose rate windows have changed since they were last saved.',
      collect() {
        this.set(table.unsaved);
      },
    });
    metrics.counter({
      name: 'latchkey_rate_limiter_evictions_total',
      help: `Keys whose rate windows were evicted from memory, beyond ${MOST_KEYS} of them. Such a key starts over.`,
      collect() {
        this.reset();
        this.inc(table.evictions);
      },
    });
  }

  consume(apiKeyId: number, policy: RateLimitPolicy, cost: number, nowMs: number): ConsumeOutcome {
    assertCost(cost);
    if (isUnlimited(policy)) return UNLIMITED;
    const { table } = this;
    const slot = table.find(apiKeyId);
    if (slot === undefined) return this.#consumeFirst(apiKeyId, policy, cost, nowMs);
    const outcome = consumeFrom(table.wordsOf(slot), table.startOf(slot), policy, cost, nowMs);
    table.touch(slot, outcome.allowed && cost > 0);
    return outcome;
  }

  /** Counts what Redis admitted, so that the local windows know this instance's part when Redis is unavailable. */
  note(apiKeyId: number, policy: RateLimitPolicy, cost: number, nowMs: number): void {
    const { table } = this;
    const slot = table.find(apiKeyId) ?? table.add(apiKeyId, tickOf(nowMs));
    note(table.wordsOf(slot), table.startOf(slot), policy, cost, nowMs);
    table.touch(slot, false);
  }

  /** Consumes without Redis: what it admits is part of what `partOf` answers next. */
  consumeUnshared(apiKeyId: number, policy: RateLimitPolicy, cost: number, nowMs: number): ConsumeOutcome {
    const outcome = this.consume(apiKeyId, policy, cost, nowMs);
    const slot = outcome.allowed && cost > 0 ? this.table.find(apiKeyId) : undefined;
    if (slot === undefined) return outcome;
    if (policy.perMinute !== null) this.table.addUnshared(slot, 0, cost);
    if (policy.perHour !== null) this.table.addUnshared(slot, 1, cost);
    if (policy.perDay !== null) this.table.addUnshared(slot, 2, cost);
    return outcome;
  }

  /**
   * This instance's part of what a key has consumed, as the script in Redis is given it: the three sums, and when there
   * are any, the three amounts that were admitted without Redis, which count as shared from now on. Empty when nothing
   * is known of the key.
   */
  partOf(apiKeyId: number, nowMs: number): number[] {
    const { table } = this;
    const slot = table.find(apiKeyId);
    if (slot === undefined) return [];
    const [words, at] = [table.wordsOf(slot), table.startOf(slot)];
    advance(words, at, tickOf(nowMs));
    const part = [sureSumOf(words, at, 0), sureSumOf(words, at, 1), sureSumOf(words, at, 2)];
    if (!table.hasUnshared(slot)) return part[0] || part[1] || part[2] ? part : [];
    for (const window of [0, 1, 2] as const) {
      part.push(Math.min(table.consumeUnshared(slot, window), sumOf(words, at, window)));
    }
    return part;
  }

  /** Keys with something unshared, or all that are known. Keys may be used and dropped between two of them. */
  *keysToShare(isAll: boolean): Iterable<number> {
    const { table } = this;
    for (let slot = 0; slot < table.slots; slot++) {
      const apiKeyId = table.keyOf(slot);
      if (apiKeyId !== undefined && (isAll || table.hasUnshared(slot))) yield apiKeyId;
    }
  }

  /** Only what consumes is remembered: peeks and refusals of unknown keys need no memory. */
  #consumeFirst(apiKeyId: number, policy: RateLimitPolicy, cost: number, nowMs: number): ConsumeOutcome {
    const outcome = consumeFrom(this.#blank, 0, policy, cost, nowMs);
    if (outcome.allowed && cost > 0) {
      const { table } = this;
      const slot = table.add(apiKeyId, tickOf(nowMs));
      table.wordsOf(slot).set(this.#blank, table.startOf(slot));
      table.touch(slot, true);
    }
    this.#blank.fill(0);
    return outcome;
  }
}
