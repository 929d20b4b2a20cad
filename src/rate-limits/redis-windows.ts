import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { createRedisConnection, type RedisConnection } from './redis-connection.js';
import { argumentsOf, redisKeyOf } from './redis-take.js';
import type { RateLimitPolicy } from './rate-windows.policy.js';

/**
 * Patience is counted in turns of the event loop, at least so many milliseconds each, in which answers could have
 * been read: a process that was busy with other things does not blame Redis for it.
 */
const TURN_MS = 25;
/** Redis has said nothing to anybody for 125 to 150 ms. */
const SILENT_TURNS = 6;
/** Redis answers others, in a burst for example, but this one has waited 250 ms. */
const LATE_TURNS = 11;
const PROBE_EVERY_MS = 200;
const PROBE_BOUND_MS = 125;
/** At start: how long to wait for Redis before going on without it. */
const START_BOUND_MS = 1_000;
/** A probe writes: a server that is full or a replica answers, and is of no use. */
const PROBE = argumentsOf({ perMinute: 1_000_000, perHour: null, perDay: null }, 1);

interface Waiting {
  readonly sinceTurn: number;
  readonly answer: (reply: readonly number[] | undefined) => void;
}

/** Told whenever Redis goes away, and why, and when it is back. */
export type RedisStateListener = (isAway: boolean, reason: string) => void;

/**
 * Windows in Redis, or the knowledge that it is away. The first take that fails or is late opens the breaker:
 * everyone who waits is told at once, nobody asks again until a probe has been answered in time.
 */
export class RedisWindows {
  readonly #connection: RedisConnection;
  readonly #waiting = new Set<Waiting>();
  readonly #probeKey = redisKeyOf(`probe-${randomUUID()}`);
  #isAway = true;
  #isClosed = false;
  #connectionError = '';
  #turn = 0;
  #heardInTurn = 0;
  #nextTurn: NodeJS.Timeout | undefined;
  #nextProbe: NodeJS.Timeout | undefined;

  constructor(
    url: string,
    private readonly onChange: RedisStateListener,
  ) {
    this.#connection = createRedisConnection(url);
    // Without a listener each failed attempt to connect would be printed.
    this.#connection.on('error', (error: Error & { code?: string }) => {
      this.#connectionError = error.message || (error.code ?? error.name);
    });
    this.#connection.on('ready', () => {
      this.#connectionError = '';
    });
  }

  get isAway(): boolean {
    return this.#isAway;
  }

  /** Connects. Resolves when Redis answers, or when it is clear that it will not soon. */
  async open(): Promise<void> {
    const connected = this.#connection.connect().catch(() => undefined);
    await Promise.race([connected, sleep(START_BOUND_MS, undefined, { ref: false })]);
    await this.#probe();
    if (this.#isAway) this.onChange(true, this.#connectionError || 'it does not answer');
  }

  close(): void {
    this.#isClosed = true;
    clearTimeout(this.#nextProbe);
    this.#leave('the service is stopping');
    this.#connection.disconnect();
  }

  /** The answer of the script; undefined when Redis is away or late. Never rejected. */
  take(apiKeyId: number, policy: RateLimitPolicy, cost: number): Promise<readonly number[] | undefined> {
    if (this.#isAway) return Promise.resolve(undefined);
    return new Promise((resolve) => {
      const waiting: Waiting = { sinceTurn: this.#turn, answer: resolve };
      this.#waiting.add(waiting);
      if (this.#nextTurn === undefined) this.#turnLater();
      this.#send(redisKeyOf(apiKeyId), argumentsOf(policy, cost)).then(
        (reply) => {
          this.#heardInTurn = this.#turn;
          this.#waiting.delete(waiting);
          resolve(reply);
        },
        (error: unknown) => {
          // Who was told to go on without it is no news.
          if (this.#waiting.has(waiting)) this.#leave(this.#reasonOf(error));
        },
      );
    });
  }

  /** Asynchronous, so that what the connection throws is a rejection too. */
  async #send(key: string, parameters: (string | number)[]): Promise<number[]> {
    if (this.#connection.status !== 'ready') throw new Error('not connected');
    return this.#connection.takeFromWindows(key, ...parameters);
  }

  /** A timer comes before what has arrived is read, `setImmediate` after it. */
  #turnLater(): void {
    this.#nextTurn = setTimeout(() => setImmediate(() => this.#endTurn()), TURN_MS);
  }

  #endTurn(): void {
    this.#nextTurn = undefined;
    this.#turn++;
    const [oldest] = this.#waiting;
    if (oldest === undefined) return;
    const waited = this.#turn - oldest.sinceTurn;
    const silent = Math.min(waited, this.#turn - this.#heardInTurn);
    if (silent >= SILENT_TURNS || waited >= LATE_TURNS) this.#leave('it does not answer in time');
    else this.#turnLater();
  }

  #reasonOf(error: unknown): string {
    if (error instanceof Error && error.name === 'ReplyError') return error.message;
    return this.#connectionError || 'the connection was lost';
  }

  #leave(reason: string): void {
    const wasAway = this.#isAway;
    this.#isAway = true;
    for (const { answer } of this.#waiting) answer(undefined);
    this.#waiting.clear();
    if (wasAway || this.#isClosed) return;
    this.onChange(true, reason);
    this.#probeLater();
  }

  #probeLater(): void {
    clearTimeout(this.#nextProbe);
    if (this.#isClosed) return;
    this.#nextProbe = setTimeout(() => void this.#probe(), PROBE_EVERY_MS);
    this.#nextProbe.unref();
  }

  async #probe(): Promise<void> {
    const sinceMs = performance.now();
    const isAnswered = await this.#send(this.#probeKey, PROBE).then(
      () => performance.now() - sinceMs <= PROBE_BOUND_MS,
      () => false,
    );
    if (this.#isClosed) return;
    if (!isAnswered) {
      this.#probeLater();
      return;
    }
    this.#isAway = false;
    this.onChange(false, '');
  }
}
