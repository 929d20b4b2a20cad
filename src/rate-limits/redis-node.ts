import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type { RedisLink } from './redis-link.js';
import { epochKeyOf } from './redis-consumption.js';

/**
 * Time-outs are counted in turns of the event loop, each at least this many milliseconds, in which responses could have
 * been read: otherwise a busy process would take its own delay for an outage of Redis.
 */
const TURN_MS = 25;
/** Redis has said nothing to anybody for 125 to 150 ms. */
const SILENT_TURNS = 6;
/** Redis answers others, in a burst for example, but this one has waited 250 ms. */
const LATE_TURNS = 11;
const PROBE_EVERY_MS = 200;
const PROBE_BOUND_MS = 125;
/** Between two looks at a connection that is being made. */
const CONNECTING_MS = 20;
/** While the node is in use: how soon it is noticed that it was emptied. */
const EPOCH_EVERY_MS = 1_000;

interface Waiting {
  readonly sinceTurn: number;
  readonly answer: (value: undefined) => void;
}

/** What happens to a node. */
export interface RedisNodeEvents {
  /** The node does not answer, or not as it should. Called again with each probe that fails. */
  readonly away: (node: RedisNode, reason: string) => void;
  /** The node answers. What was admitted without it may be shared before it is used again. */
  readonly returning: (node: RedisNode) => Promise<void>;
  readonly back: (node: RedisNode) => void;
  /** All that was in the node is gone. */
  readonly emptied: (node: RedisNode) => void;
}

/**
 * One server that holds windows, or the knowledge that it is unavailable. The first request that fails or is late opens the
 * breaker: all waiting requests fail at once, and none is sent until a probe is answered in time.
 */
export class RedisNode {
  readonly #waiting = new Set<Waiting>();
  #isAway = true;
  #isClosed = false;
  #turn = 0;
  #heardInTurn = 0;
  #nextTurn: NodeJS.Timeout | undefined;
  #nextProbe: NodeJS.Timeout | undefined;

  /** @param epochs what is known of the epochs of all nodes, by the tag they are found under */
  constructor(
    readonly name: string,
    private readonly link: RedisLink,
    private readonly epochs: Map<string, string>,
    private readonly events: RedisNodeEvents,
  ) {}

  get isAway(): boolean {
    return this.#isAway;
  }

  close(): void {
    this.#isClosed = true;
    clearTimeout(this.#nextProbe);
    this.#release();
  }

  /** The answer; undefined when the node is unavailable or late. Never rejected. */
  ask<T>(send: () => Promise<T>): Promise<T | undefined> {
    if (this.#isAway) return Promise.resolve(undefined);
    return new Promise((resolve) => {
      const waiting: Waiting = { sinceTurn: this.#turn, answer: resolve };
      this.#waiting.add(waiting);
      if (this.#nextTurn === undefined) this.#turnLater();
      send().then(
        (reply) => {
          this.#heardInTurn = this.#turn;
          this.#waiting.delete(waiting);
          resolve(reply);
        },
        (error: unknown) => {
          // The caller has already continued without it.
          if (this.#waiting.has(waiting)) this.#leave(this.#reasonOf(error));
        },
      );
    });
  }

  /** Resolves when the node is in use, or when it is clear that it will not be soon. Never rejects. */
  async start(boundMs: number): Promise<void> {
    // A node whose connection is being made refuses requests, which is not an absence.
    const untilMs = performance.now() + boundMs;
    let isConnected = false;
    while (!isConnected && performance.now() < untilMs && !this.#isClosed) {
      const connected = this.#readEpoch().then(
        () => true,
        () => sleep(CONNECTING_MS, false, { ref: false }),
      );
      isConnected = await Promise.race([connected, sleep(boundMs, false, { ref: false })]);
    }
    // An answer is an answer here, also a late one: patience begins with the first request.
    if (isConnected && !this.#isClosed) await this.#return();
    else await this.#probe();
  }

  async #probe(): Promise<void> {
    const sinceMs = performance.now();
    const reason = await this.#readEpoch().then(
      () => (performance.now() - sinceMs <= PROBE_BOUND_MS ? undefined : 'it does not answer in time'),
      (error: unknown) => this.#reasonOf(error),
    );
    if (this.#isClosed) return;
    if (reason !== undefined) {
      this.events.away(this, reason);
      this.#later(PROBE_EVERY_MS, () => this.#probe());
      return;
    }
    await this.#return();
  }

  async #return(): Promise<void> {
    await this.events.returning(this);
    if (this.#isClosed) return;
    this.#isAway = false;
    this.events.back(this);
    this.#later(EPOCH_EVERY_MS, () => this.#watchEpoch());
  }

  async #watchEpoch(): Promise<void> {
    await this.ask(() => this.#readEpoch());
    if (!this.#isAway) this.#later(EPOCH_EVERY_MS, () => this.#watchEpoch());
  }

  async #readEpoch(): Promise<void> {
    const tag = this.link.tagOn(this.name);
    if (tag === undefined) throw new Error('it serves no keys');
    const known = this.epochs.get(tag);
    const epoch = await this.link.readEpoch(epochKeyOf(tag), randomUUID());
    this.epochs.set(tag, epoch);
    if (known !== undefined && known !== epoch) this.events.emptied(this);
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
    return this.link.lastError || 'the connection was lost';
  }

  #leave(reason: string): void {
    const wasAway = this.#isAway;
    this.#release();
    if (wasAway || this.#isClosed) return;
    this.events.away(this, reason);
    this.#later(PROBE_EVERY_MS, () => this.#probe());
  }

  #release(): void {
    this.#isAway = true;
    for (const { answer } of this.#waiting) answer(undefined);
    this.#waiting.clear();
  }

  #later(milliseconds: number, act: () => Promise<void>): void {
    clearTimeout(this.#nextProbe);
    if (this.#isClosed) return;
    this.#nextProbe = setTimeout(() => void act(), milliseconds);
    this.#nextProbe.unref();
  }
}
