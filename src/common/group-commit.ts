import { AppError } from './app-error.js';

interface Waiting<Item, Result> {
  readonly item: Item;
  readonly resolve: (result: Result) => void;
  readonly reject: (reason: unknown) => void;
}

/** How a group commit runs its groups. */
export interface GroupCommitOptions<Item, Result> {
  /** Runs one statement for all items and answers one result per item, in order, after commit. */
  readonly commit: (items: readonly Item[]) => Promise<readonly Result[]>;
  /** Items in one statement at most (or what `sizeOf` makes of them); one item that is larger goes alone. */
  readonly maxGroupSize?: number;
  /** Callers that may wait at once; beyond it a caller is refused with 503. */
  readonly maxWaiting?: number;
  /** Orders the items of a group, so that two groups lock rows in the same order and never deadlock. */
  readonly compare?: (a: Item, b: Item) => number;
  /** How much an item weighs in its group; 1 unless told. */
  readonly sizeOf?: (item: Item) => number;
  /** Whether a group with an unknown outcome is sent once more; true unless told. */
  readonly isRetried?: boolean;
}

/**
 * Natural group commit: at most one statement is in flight, and whoever arrives meanwhile forms the
 * next group. It adds no delay when idle and shares one fsync among all callers under load.
 *
 * A group refused because of what an item says (SQLSTATE classes 22 and 23, raised exceptions) is
 * retried item by item, so that one bad item harms only itself. Any other failure, a lost connection
 * for example, is an unknown outcome: the group is sent once more, then every caller is told. Items
 * therefore need ids made by the application, so that a repeated one makes no second row.
 */
export class GroupCommit<Item, Result = void> {
  readonly #options: Required<Omit<GroupCommitOptions<Item, Result>, 'compare' | 'sizeOf'>> &
    Pick<GroupCommitOptions<Item, Result>, 'compare' | 'sizeOf'>;
  #waiting: Waiting<Item, Result>[] = [];
  #running: Promise<void> | undefined;

  constructor(options: GroupCommitOptions<Item, Result>) {
    this.#options = { maxGroupSize: 500, maxWaiting: 20_000, isRetried: true, ...options };
  }

  /** Resolves with the item's result once the group that carries it has committed. */
  submit(item: Item): Promise<Result> {
    if (this.#waiting.length >= this.#options.maxWaiting) {
      return Promise.reject(
        new AppError('service.overloaded', 'Too many writes are waiting.', { retryAfterSeconds: 1 }),
      );
    }
    return new Promise<Result>((resolve, reject) => {
      this.#waiting.push({ item, resolve, reject });
      this.#running ??= this.#run();
    });
  }

  /** Resolves when everything submitted so far has been answered. */
  async drain(): Promise<void> {
    while (this.#running !== undefined) await this.#running;
  }

  async #run(): Promise<void> {
    // One turn of the microtask queue lets callers of the same tick share the first group.
    await Promise.resolve();
    while (this.#waiting.length > 0) {
      const group = this.#waiting.splice(0, this.#nextGroupLength());
      const { compare } = this.#options;
      if (compare !== undefined) group.sort((a, b) => compare(a.item, b.item));
      await this.#commitGroup(group);
    }
    this.#running = undefined;
  }

  #nextGroupLength(): number {
    const { maxGroupSize, sizeOf } = this.#options;
    if (sizeOf === undefined) return maxGroupSize;
    let size = 0;
    const end = this.#waiting.findIndex(({ item }) => (size += sizeOf(item)) > maxGroupSize);
    return end === -1 ? this.#waiting.length : Math.max(1, end);
  }

  async #commitGroup(
    group: readonly Waiting<Item, Result>[],
    isLastTry = !this.#options.isRetried,
  ): Promise<void> {
    try {
      const results = await this.#options.commit(group.map((waiting) => waiting.item));
      if (results.length !== group.length) {
        throw new Error(`A group of ${group.length} items was answered with ${results.length} results.`);
      }
      group.forEach((waiting, index) => waiting.resolve(results[index] as Result));
    } catch (error) {
      if (isItemFault(error)) {
        if (group.length === 1) group[0]?.reject(error);
        else for (const waiting of group) await this.#commitGroup([waiting]);
      } else if (isLastTry) {
        for (const waiting of group) waiting.reject(error);
      } else {
        await this.#commitGroup(group, true);
      }
    }
  }
}

/** True when PostgreSQL refused the data itself: a data exception, a broken constraint or a raised exception. */
function isItemFault(error: unknown): boolean {
  const code = error instanceof Error && 'code' in error ? error.code : undefined;
  return typeof code === 'string' && /^(22|23|P0001)/.test(code);
}
