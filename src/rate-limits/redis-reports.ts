import { Logger } from '@nestjs/common';
import type { Metrics } from '../observability/metrics.service.js';

/** The same is logged again after this many milliseconds at the earliest. */
const QUIET_MS = 10_000;

/**
 * Metrics and log lines about the Redis that keeps rate windows. Counters count everything; the log says once that a node
 * is unavailable and once that it is back, however often it comes and goes meanwhile.
 */
export class RedisReports {
  readonly #logger = new Logger('RedisRateLimiter');
  readonly #away = new Set<string>();
  /** Nodes that were logged as unavailable and not yet as back. */
  readonly #toldAway = new Set<string>();
  readonly #toldAtMs = new Map<string, number>();
  readonly #policiesTold = new Set<string>();
  #losses = 0;
  #emptied = 0;
  #restored = 0;

  constructor(metrics: Metrics) {
    const measure = (name: string, help: string, read: () => number) =>
      metrics.counter({
        name,
        help,
        collect() {
          this.reset();
          this.inc(read());
        },
      });
    const count = (name: string, help: string, read: () => number) =>
      measure(`latchkey_rate_limiter_${name}_total`, help, read);
    count(
      'redis_losses',
      'With Redis: how often it, or a node of it, became unavailable.',
      () => this.#losses,
    );
    count(
      'redis_emptied',
      'With Redis: how often it, or a node of it, was found to have lost its data.',
      () => this.#emptied,
    );
    count(
      'restored',
      'With Redis: requests that found less there than this instance had admitted, and restored it.',
      () => this.#restored,
    );
  }

  away(node: string, reason: string): void {
    if (!this.#away.has(node)) this.#losses++;
    this.#away.add(node);
    if (this.#toldAway.has(node) || !this.#isNews(`away ${node}`)) return;
    this.#toldAway.add(node);
    const whose = node === '' ? 'each rate limit' : 'the rate limits of its keys';
    this.#logger.warn(
      `${nameOf(node)} is unavailable (${reason}): this instance enforces its part of ${whose}.`,
    );
  }

  back(node: string): void {
    this.#away.delete(node);
    if (this.#toldAway.delete(node))
      this.#logger.log(`${nameOf(node)} is back: rate limits are shared again.`);
  }

  emptied(node: string): void {
    this.#emptied++;
    this.#tellOfLoss(`${nameOf(node)} has lost all rate windows`);
  }

  /** One request found less than there was. */
  restored(): void {
    this.#restored++;
    this.#tellOfLoss('Redis has lost rate windows');
  }

  /** Warns, once, of each policy by which Redis would drop windows when its memory is full. */
  memory(infos: readonly string[]): void {
    for (const info of infos) {
      const policy = /^maxmemory_policy:(\S+)/m.exec(info)?.[1] ?? 'noeviction';
      if (policy === 'noeviction' || this.#policiesTold.has(policy)) continue;
      this.#policiesTold.add(policy);
      this.#logger.warn(
        `Redis has maxmemory-policy ${policy}: when its memory is full it drops rate windows, and keys may exceed ` +
          'their limits. Set maxmemory-policy noeviction.',
      );
    }
  }

  #tellOfLoss(what: string): void {
    if (!this.#isNews('loss')) return;
    this.#logger.warn(
      `${what}: it was emptied, it evicts, or it failed over. What this instance admitted is restored.`,
    );
  }

  #isNews(what: string): boolean {
    const nowMs = performance.now();
    const toldAtMs = this.#toldAtMs.get(what);
    if (toldAtMs !== undefined && nowMs - toldAtMs < QUIET_MS) return false;
    this.#toldAtMs.set(what, nowMs);
    return true;
  }
}

function nameOf(node: string): string {
  return node === '' ? 'Redis' : `The Redis node ${node}`;
}
