import { AppError } from './app-error.js';
import type { Authority } from './authority.js';

interface Waiting<Item, Result> {
  readonly item: Item;
  readonly resolve: (result: Result) => void;
  readonly reject: (reason: unknown) => void;
}

/** A statement costs about as much as this many items in it. */
const WORTH_SHARING = 16;

type Optional = 'compare' | 'sizeOf' | 'authorityOf';

type Outcome<Result> = { readonly result: Result } | { readonly error: unknown };

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
  /** Statements under way at once, each with a group of its own; 1 unless told. They may be sent one behind the other. */
  readonly statements?: number;
  /** By whose authority an item is committed: items that waited are judged again when it may have been taken away. */
  readonly authorityOf?: (item: Item) => Authority | undefined;
  /** Whether a group with an unknown outcome is sent once more; true unless told. */
  readonly isRetried?: boolean;
}

/**
 * Natural group commit: at most one statement is under way, or as many as told, and whoever arrives meanwhile forms the
 * next group. It adds no delay when idle and shares one fsync among all callers under load.
 *
 * A group refused because of what an item says (SQLSTATE classes 22 and 23, raised exceptions) is
 * retried item by item, so that one bad item harms only itself. Any other failure, a lost connection
 * for example, is an unknown outcome: the group is sent once more, then every caller is told. Items
 * therefore need ids made by the application, so that a repeated one makes no second row.
 */
export class GroupCommit<Item, Result = void> {
  readonly #options: Required<Omit<GroupCommitOptions<Item, Result>, Optional>> &
    Pick<GroupCommitOptions<Item, Result>, Optional>;
  #waiting: Waiting<Item, Result>[] = [];
  /** Runs that will still look for who waits; one that is ending is not among them. */
  readonly #runs = new Set<Promise<void>>();
  /** Items whose statement is under way. */
  #underWay = 0;

  constructor(options: GroupCommitOptions<Item, Result>) {
    this.#options = { maxGroupSize: 500, maxWaiting: 20_000, isRetried: true, statements: 1, ...options };
  }

  /** Resolves with the item's result once the group that carries it has committed. */
  submit(item: Item): Promise<Result> {
    const { maxWaiting } = this.#options;
    if (this.#waiting.length >= maxWaiting) {
      return Promise.reject(
        new AppError('service.overloaded', 'Too many requests are waiting for the database.', {
          retryAfterSeconds: 1,
        }),
      );
    }
    return new Promise<Result>((resolve, reject) => {
      this.#enqueue({ item, resolve, reject });
    });
  }

  /** Resolves when everything submitted so far has been answered. */
  async drain(): Promise<void> {
    while (this.#runs.size > 0) await Promise.all(this.#runs);
  }

  #enqueue(waiting: Waiting<Item, Result>): void {
    this.#waiting.push(waiting);
    if (this.#runs.size < this.#options.statements) this.#begin();
  }

  #begin(): void {
    const run: Promise<void> = this.#run(() => this.#runs.delete(run));
    this.#runs.add(run);
  }

  /** Sends one statement after the other until nobody waits. */
  async #run(end: () => void): Promise<void> {
    // One turn of the microtask queue lets callers of the same tick share the first group.
    await Promise.resolve();
    let lastLength = 0;
    let answer = (): void => undefined;
    while (this.#waiting.length > 0) {
      const group = this.#authorized(this.#nextGroup(lastLength));
      if (group.length === 0) continue;
      this.#underWay += group.length;
      const committing = this.#commitAll(group.map(({ item }) => item));
      // The statement is on its way: the database works while the callers of the last one are answered.
      answer();
      const outcomes = await committing;
      this.#underWay -= group.length;
      answer = () => group.forEach((waiting, index) => settle(waiting, outcomes[index]));
      lastLength = group.length;
    }
    end();
    answer();
  }

  /**
   * Of many callers, a fair share: some are answered and come again while the database works on the others. Taken whole,
   * those who wait would all end up in one group, and this process and the database would take turns.
   */
  #nextGroup(lastLength: number): Waiting<Item, Result>[] {
    const { compare, statements } = this.#options;
    const callers = this.#waiting.length + this.#underWay + lastLength;
    const share = this.#waiting.length < WORTH_SHARING ? Infinity : Math.ceil(callers / (statements + 1));
    const group = this.#waiting.splice(0, Math.min(this.#nextGroupLength(), share));
    return compare === undefined ? group : group.toSorted((a, b) => compare(a.item, b.item));
  }

  /** Those whose authority holds. The others are judged again, and come back to the queue if some is left. */
  #authorized(group: Waiting<Item, Result>[]): Waiting<Item, Result>[] {
    const { authorityOf } = this.#options;
    if (authorityOf === undefined) return group;
    const isCurrent = ({ item }: Waiting<Item, Result>) => authorityOf(item)?.isCurrent() ?? true;
    if (group.every(isCurrent)) return group;
    return group.filter((waiting) => {
      if (isCurrent(waiting)) return true;
      void authorityOf(waiting.item)
        ?.judgeAgain()
        .then(() => this.#enqueue(waiting), waiting.reject);
      return false;
    });
  }

  #nextGroupLength(): number {
    const { maxGroupSize, sizeOf } = this.#options;
    if (sizeOf === undefined) return maxGroupSize;
    let size = 0;
    const end = this.#waiting.findIndex(({ item }) => (size += sizeOf(item)) > maxGroupSize);
    return end === -1 ? this.#waiting.length : Math.max(1, end);
  }

  async #commitAll(items: readonly Item[], isLastTry = !this.#options.isRetried): Promise<Outcome<Result>[]> {
    try {
      const results = await this.#options.commit(items);
      if (results.length !== items.length) {
        throw new Error(`A group of ${items.length} items was answered with ${results.length} results.`);
      }
      return results.map((result) => ({ result }));
    } catch (error) {
      if (!isItemFault(error)) {
        return isLastTry ? items.map(() => ({ error })) : this.#commitAll(items, true);
      }
      if (items.length === 1) return [{ error }];
      const outcomes: Outcome<Result>[] = [];
      for (const item of items) outcomes.push(...(await this.#commitAll([item])));
      return outcomes;
    }
  }
}

function settle<Item, Result>(waiting: Waiting<Item, Result>, outcome: Outcome<Result> | undefined): void {
  if (outcome === undefined || 'error' in outcome) waiting.reject(outcome?.error);
  else waiting.resolve(outcome.result);
}

/** True when PostgreSQL refused the data itself: a data exception, a broken constraint or a raised exception. */
function isItemFault(error: unknown): boolean {
  const code = error instanceof Error && 'code' in error ? error.code : undefined;
  return typeof code === 'string' && /^(22|23|P0001)/.test(code);
}
