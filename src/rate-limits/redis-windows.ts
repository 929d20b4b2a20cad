import { RedisLink } from './redis-link.js';
import { RedisNode, type RedisNodeEvents } from './redis-node.js';
import { argumentsOf, redisKeyOf } from './redis-consumption.js';
import type { RateLimitPolicy } from './rate-windows.policy.js';

/** At start: how long to wait for Redis before going on without it. */
const START_BOUND_MS = 1_000;
/** How long a new node may take to be connected. */
const NODE_BOUND_MS = 500;
/** Keys whose windows are written in one turn when a node is back or was emptied. */
const KEYS_AT_ONCE = 256;
/** How long a node that is back waits for what was admitted without it. */
const SHARE_BOUND_MS = 500;
const NO_LIMITS = { perMinute: null, perHour: null, perDay: null };

/** The part of one instance in what keys have consumed. */
export interface InstanceParts {
  /** Keys with something to share; of all that were used lately when `isAll`. */
  keys(isAll: boolean): Iterable<number>;
  /** What the script is given of a key; what was unshared counts as shared from now on. */
  partOf(apiKeyId: number, nowMs: number): number[];
  /** The time now. */
  nowMs(): number;
}

/** What happens to Redis. Names of nodes are empty when there is only one. */
export interface RedisEvents {
  readonly away: (node: string, reason: string) => void;
  readonly back: (node: string) => void;
  readonly emptied: (node: string) => void;
  /** What the servers say of their memory, after each connection. */
  readonly connected: (infos: readonly string[]) => void;
}

/**
 * Windows in Redis, or the knowledge that they are away: each node of a cluster by itself, so that the death of one
 * leaves the keys of the others shared.
 */
export class RedisWindows {
  readonly #link: RedisLink;
  readonly #nodes = new Map<string, RedisNode>();
  readonly #epochs = new Map<string, string>();
  readonly #nodeEvents: RedisNodeEvents;

  constructor(
    url: string,
    private readonly parts: InstanceParts,
    private readonly events: RedisEvents,
  ) {
    this.#link = new RedisLink(url, events.connected);
    this.#nodeEvents = {
      away: (node, reason) => this.#noteAway(node, reason),
      returning: (node) => this.#shareBounded(node),
      back: (node) => this.#noteBack(node),
      emptied: (node) => this.#noteEmptied(node),
    };
  }

  /** True while some node is unavailable. */
  get isAway(): boolean {
    if (this.#nodes.size === 0) return true;
    for (const { isAway } of this.#nodes.values()) if (isAway) return true;
    return false;
  }

  /** Connects. Resolves when Redis answers, or when it is clear that it will not soon. */
  async open(): Promise<void> {
    await this.#link.open(START_BOUND_MS);
    await this.#addMissing();
  }

  close(): void {
    for (const node of this.#nodes.values()) node.close();
    this.#link.close();
  }

  /** The node that a key's windows are on is away. */
  isAwayFor(apiKeyId: number): boolean {
    return this.#nodeFor(apiKeyId).isAway;
  }

  /** The answer of the script; undefined when Redis is unavailable or late. Never rejected. */
  consume(
    apiKeyId: number,
    policy: RateLimitPolicy,
    cost: number,
    nowMs: number,
  ): Promise<readonly number[] | undefined> {
    return this.#nodeFor(apiKeyId).ask(() => this.#send(apiKeyId, policy, cost, nowMs));
  }

  #send(apiKeyId: number, policy: RateLimitPolicy, cost: number, nowMs: number): Promise<number[]> {
    const parameters = argumentsOf(policy, cost);
    for (const amount of this.parts.partOf(apiKeyId, nowMs)) parameters.push(amount);
    return this.#link.consume(redisKeyOf(apiKeyId), parameters);
  }

  #nodeFor(apiKeyId: number): RedisNode {
    const name = this.#link.nodeOf(String(apiKeyId));
    const known = this.#nodes.get(name);
    if (known !== undefined) return known;
    const node = this.#add(name);
    void node.start(NODE_BOUND_MS);
    return node;
  }

  #add(name: string): RedisNode {
    const node = new RedisNode(name, this.#link, this.#epochs, this.#nodeEvents);
    this.#nodes.set(name, node);
    return node;
  }

  async #addMissing(): Promise<void> {
    const missing = this.#link.nodes.filter((name) => !this.#nodes.has(name));
    await Promise.all(missing.map((name) => this.#add(name).start(NODE_BOUND_MS)));
  }

  #noteAway(node: RedisNode, reason: string): void {
    if (this.#link.nodes.includes(node.name)) this.events.away(this.#shownName(node), reason);
    else this.#retire(node);
  }

  #noteBack(node: RedisNode): void {
    this.events.back(this.#shownName(node));
    // What was admitted while the rest was shared.
    void this.#share(node, false);
  }

  #noteEmptied(node: RedisNode): void {
    this.events.emptied(this.#shownName(node));
    void this.#share(node, true);
  }

  /** Others have its keys. */
  #retire(node: RedisNode): void {
    node.close();
    this.#nodes.delete(node.name);
    this.events.back(this.#shownName(node));
    void this.#addMissing();
  }

  #shownName({ name }: RedisNode): string {
    return name.includes(':') ? name : '';
  }

  async #shareBounded(node: RedisNode): Promise<void> {
    let timer: NodeJS.Timeout | undefined;
    const bound = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, SHARE_BOUND_MS);
    });
    await Promise.race([this.#share(node, false), bound]);
    clearTimeout(timer);
  }

  /**
   * Writes this instance's part of keys on a node. Each part is sent once: an answer that was lost may have been for a
   * part that was counted, and what is missing is found by the sums with the key's next request.
   */
  async #share(node: RedisNode, isAll: boolean): Promise<void> {
    const sent: Promise<boolean>[] = [];
    for (const apiKeyId of this.parts.keys(isAll)) {
      if (this.#link.nodeOf(String(apiKeyId)) !== node.name) continue;
      sent.push(this.#send(apiKeyId, NO_LIMITS, 0, this.parts.nowMs()).then(Boolean, () => false));
      if (sent.length < KEYS_AT_ONCE) continue;
      if (!(await Promise.all(sent.splice(0))).every(Boolean)) return;
    }
    await Promise.all(sent);
  }
}
