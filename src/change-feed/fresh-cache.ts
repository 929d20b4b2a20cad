import { LRUCache } from 'lru-cache';
import type { ChangeFeed } from './change-feed.service.js';
import type { Evictions } from './evictions.js';

interface Entry<Value> {
  readonly value: Value;
  /** Where the evictions stood when its load began. */
  readonly position: number;
}

/** How much is kept: a number of values, or the sum of their sizes. */
export type CacheBound<Value> =
  { readonly mostValues: number } | { readonly mostBytes: number; readonly sizeOf: (value: Value) => number };

/** Whether a value still holds that was loaded from `position` on: nothing it was made of has changed since. */
export type IsCurrent<Value> = (value: Value, evictions: Evictions, position: number) => boolean;

/** Values in memory that are answered only while the change feed is fresh and nothing they were made of has changed. */
export class FreshCache<Value> {
  readonly #entries: LRUCache<string, Entry<Value>>;

  constructor(
    private readonly feed: ChangeFeed,
    bound: CacheBound<Value>,
    private readonly isCurrent: IsCurrent<Value>,
  ) {
    this.#entries = new LRUCache(
      'mostValues' in bound
        ? { max: bound.mostValues }
        : { maxSize: bound.mostBytes, sizeCalculation: ({ value }) => bound.sizeOf(value) },
    );
  }

  /** Where the evictions stand; take it before a load begins. */
  get position(): number {
    return this.feed.evictions.position;
  }

  /**
   * Undefined for what is not in memory, or has changed since.
   * @throws AppError `service.unavailable` when it is in memory, and that is too old
   */
  find(key: string): Value | undefined {
    const entry = this.#entries.get(key);
    if (entry === undefined) return undefined;
    this.feed.requireFresh();
    if (this.isCurrent(entry.value, this.feed.evictions, entry.position)) return entry.value;
    this.#entries.delete(key);
    return undefined;
  }

  /** Keeps what a load found that began at `position`. */
  keep(key: string, value: Value, position: number): void {
    this.#entries.set(key, { value, position });
  }
}
