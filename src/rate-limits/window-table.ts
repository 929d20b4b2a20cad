import { advance, isEmpty, WINDOW_WORDS, type WindowIndex } from './window-rings.policy.js';

/** Before the windows of a key: what is unshared of each, its neighbours in the order of use, whether it is to be saved. */
const HEAD_WORDS = 6;
const UNSHARED = -6;
const MORE_RECENT = -3;
const LESS_RECENT = -2;
const IS_DIRTY = -1;
const KEY_WORDS = HEAD_WORDS + WINDOW_WORDS;
const NOBODY = 0xffff_ffff;
/** In place of the id, in a slot that is free. */
const NO_ID = -1;

const PAGE_BITS = 12;
const PAGE_KEYS = 1 << PAGE_BITS;
/** A Map that outgrows itself stops the world while it is copied: many small ones stop it for a millisecond. */
const INDEXES = 64;

interface Page {
  readonly words: Uint32Array;
  readonly ids: Float64Array;
}

/** Windows of keys as they go to the database, sorted by key. */
export interface WindowRows {
  readonly apiKeyIds: readonly number[];
  /** `WINDOW_WORDS` words of each key, in the byte order of this machine. */
  readonly windows: Uint32Array;
}

/**
 * The windows of many keys in few large arrays, about 220 bytes a key and nothing for the garbage collector to walk.
 * A key lives in a slot, a number that is its until it is evicted or dropped. Knows which keys were used least
 * recently and which have changed since they were last saved.
 */
export class WindowTable {
  readonly #pages: Page[] = [];
  readonly #slotById: readonly Map<number, number>[] = Array.from({ length: INDEXES }, () => new Map());
  readonly #free: number[] = [];
  #slots = 0;
  #mostRecent = NOBODY;
  #leastRecent = NOBODY;
  readonly #dirty: number[] = [];
  #sweptUpTo = 0;
  #evictions = 0;

  /** @param mostKeys beyond it the least recently used key is evicted */
  constructor(readonly mostKeys: number) {}

  get size(): number {
    return this.#slots - this.#free.length;
  }

  /** How many keys were evicted while something was in their windows. */
  get evictions(): number {
    return this.#evictions;
  }

  /** How many keys, at most, have changed since they were last saved. */
  get unsaved(): number {
    return this.#dirty.length;
  }

  /** The slot of a key. */
  find(apiKeyId: number): number | undefined {
    return this.#indexOf(apiKeyId).get(apiKeyId);
  }

  /** A slot with empty windows for a key that has none. */
  add(apiKeyId: number, tick: number): number {
    if (this.size >= this.mostKeys) this.#evict(tick);
    const slot = this.#free.pop() ?? this.#newSlot();
    this.#indexOf(apiKeyId).set(apiKeyId, slot);
    this.#page(slot).ids[slot & (PAGE_KEYS - 1)] = apiKeyId;
    const words = this.wordsOf(slot);
    const at = this.startOf(slot);
    words.fill(0, at - HEAD_WORDS, at + WINDOW_WORDS);
    this.#putFirst(slot, words, at);
    return slot;
  }

  /** The array that holds a slot. */
  wordsOf(slot: number): Uint32Array {
    return this.#page(slot).words;
  }

  /** Where in its array the windows of a slot begin. */
  startOf(slot: number): number {
    return (slot & (PAGE_KEYS - 1)) * KEY_WORDS + HEAD_WORDS;
  }

  /** The key was used just now; with `hasChanged` it will be saved. */
  touch(slot: number, hasChanged: boolean): void {
    if (hasChanged) this.#markDirty(slot);
    if (slot === this.#mostRecent) return;
    const words = this.wordsOf(slot);
    const at = this.startOf(slot);
    this.#unlink(words, at);
    this.#putFirst(slot, words, at);
  }

  /** Remembers what was admitted in a window without Redis, up to what a word holds. */
  addUnshared(slot: number, window: WindowIndex, cost: number): void {
    const words = this.wordsOf(slot);
    const index = this.startOf(slot) + UNSHARED + window;
    words[index] = Math.min((words[index] as number) + cost, 0xffff_ffff);
  }

  /** What was admitted in a window without Redis since the last call. */
  consumeUnshared(slot: number, window: WindowIndex): number {
    const words = this.wordsOf(slot);
    const index = this.startOf(slot) + UNSHARED + window;
    const amount = words[index] as number;
    if (amount > 0) words[index] = 0;
    return amount;
  }

  /** True when something was admitted without Redis since that was last read. */
  hasUnshared(slot: number): boolean {
    const words = this.wordsOf(slot);
    const at = this.startOf(slot) + UNSHARED;
    return words[at] !== 0 || words[at + 1] !== 0 || words[at + 2] !== 0;
  }

  /** How many slots there are, free ones included. */
  get slots(): number {
    return this.#slots;
  }

  /** The key of a slot; undefined when it is free. */
  keyOf(slot: number): number | undefined {
    const id = this.#idOf(slot);
    return id === NO_ID ? undefined : id;
  }

  /** The `count` keys that have waited longest to be saved. From now on they count as saved. */
  takeUnsaved(count: number): WindowRows {
    // A slot was listed twice when its key was dropped and another one got it: the first mention stands for both.
    const slots = this.#dirty.splice(0, count).filter((slot) => this.#clean(slot));
    slots.sort((a, b) => this.#idOf(a) - this.#idOf(b));
    const windows = new Uint32Array(slots.length * WINDOW_WORDS);
    for (const [index, slot] of slots.entries()) {
      const at = this.startOf(slot);
      windows.set(this.wordsOf(slot).subarray(at, at + WINDOW_WORDS), index * WINDOW_WORDS);
    }
    return { apiKeyIds: slots.map((slot) => this.#idOf(slot)), windows };
  }

  /** The key is to be saved again. */
  markUnsaved(apiKeyId: number): void {
    const slot = this.find(apiKeyId);
    if (slot !== undefined) this.#markDirty(slot);
  }

  /** Drops keys whose windows are empty at the tick, looking at `count` slots, the next ones each time. */
  sweep(count: number, tick: number): void {
    for (let looked = 0; looked < Math.min(count, this.#slots); looked++) {
      const slot = this.#sweptUpTo < this.#slots ? this.#sweptUpTo : 0;
      this.#sweptUpTo = slot + 1;
      if (this.#idOf(slot) !== NO_ID && this.#isIdle(slot, tick)) this.#drop(slot);
    }
  }

  #markDirty(slot: number): void {
    const words = this.wordsOf(slot);
    const index = this.startOf(slot) + IS_DIRTY;
    if (words[index] === 1) return;
    words[index] = 1;
    this.#dirty.push(slot);
  }

  #clean(slot: number): boolean {
    const words = this.wordsOf(slot);
    const index = this.startOf(slot) + IS_DIRTY;
    const wasDirty = words[index] === 1;
    words[index] = 0;
    return wasDirty;
  }

  /** With the clock behind the newest bucket a key is not idle, and nothing of it is moved. */
  #isIdle(slot: number, tick: number): boolean {
    const words = this.wordsOf(slot);
    const at = this.startOf(slot);
    if (tick > (words[at] as number)) advance(words, at, tick);
    return isEmpty(words, at);
  }

  #evict(tick: number): void {
    const slot = this.#leastRecent;
    if (!this.#isIdle(slot, tick)) this.#evictions++;
    this.#drop(slot);
  }

  #drop(slot: number): void {
    const words = this.wordsOf(slot);
    const at = this.startOf(slot);
    const apiKeyId = this.#idOf(slot);
    this.#unlink(words, at);
    words[at + IS_DIRTY] = 0;
    this.#indexOf(apiKeyId).delete(apiKeyId);
    this.#page(slot).ids[slot & (PAGE_KEYS - 1)] = NO_ID;
    this.#free.push(slot);
  }

  #newSlot(): number {
    if (this.#slots === this.#pages.length * PAGE_KEYS) {
      this.#pages.push({
        words: new Uint32Array(PAGE_KEYS * KEY_WORDS),
        ids: new Float64Array(PAGE_KEYS),
      });
    }
    return this.#slots++;
  }

  #putFirst(slot: number, words: Uint32Array, at: number): void {
    const second = this.#mostRecent;
    words[at + MORE_RECENT] = NOBODY;
    words[at + LESS_RECENT] = second;
    if (second === NOBODY) this.#leastRecent = slot;
    else this.wordsOf(second)[this.startOf(second) + MORE_RECENT] = slot;
    this.#mostRecent = slot;
  }

  #unlink(words: Uint32Array, at: number): void {
    const before = words[at + MORE_RECENT] as number;
    const after = words[at + LESS_RECENT] as number;
    if (before === NOBODY) this.#mostRecent = after;
    else this.wordsOf(before)[this.startOf(before) + LESS_RECENT] = after;
    if (after === NOBODY) this.#leastRecent = before;
    else this.wordsOf(after)[this.startOf(after) + MORE_RECENT] = before;
  }

  #page(slot: number): Page {
    return this.#pages[slot >>> PAGE_BITS] as Page;
  }

  #idOf(slot: number): number {
    return this.#page(slot).ids[slot & (PAGE_KEYS - 1)] as number;
  }

  #indexOf(apiKeyId: number): Map<number, number> {
    return this.#slotById[apiKeyId % INDEXES] as Map<number, number>;
  }
}
