import { type Change, CHANGED_KINDS, type ChangedKind } from './changes.js';

/** Beyond this many the whole memory is dropped: cheaper than remembering each. */
const MOST_REMEMBERED = 100_000;

/**
 * Which things changed, and when, on a count of its own. What was loaded remembers the position at which its load
 * began and is good while nothing it was made of changed after that: a load that began before an eviction is never
 * kept, whichever ends first.
 */
export class Evictions {
  #position = 0;
  #everythingAt = 0;
  /** Of each kind: at which position a thing of this id changed last. */
  readonly #changed = Object.fromEntries(CHANGED_KINDS.map((kind) => [kind, new Map()])) as Readonly<
    Record<ChangedKind, Map<number, number>>
  >;

  /** Where the count stands; take it before a load begins. */
  get position(): number {
    return this.#position;
  }

  apply(changes: readonly Change[]): void {
    this.#position += 1;
    for (const change of changes) {
      if (change.kind === 'everything') this.#evictEverything();
      else this.#changed[change.kind].set(change.id, this.#position);
    }
    const remembered = Object.values(this.#changed).reduce((sum, { size }) => sum + size, 0);
    if (remembered > MOST_REMEMBERED) this.#evictEverything();
  }

  /** Whether a thing is still what it was at `position`. */
  isCurrent(position: number, kind: ChangedKind, id: number): boolean {
    return position >= this.#everythingAt && (this.#changed[kind].get(id) ?? 0) <= position;
  }

  #evictEverything(): void {
    this.#everythingAt = this.#position;
    for (const changed of Object.values(this.#changed)) changed.clear();
  }
}
