import type { Change, ChangedKind } from './change-feed.service.js';

/** Beyond this many the whole cache is dropped: cheaper than remembering each. */
const MOST_REMEMBERED = 100_000;

/**
 * Which keys and users changed, and when, on a count of its own. An entry remembers the position at which its load
 * began and is good while nothing it was made of changed after that: a load that began before an eviction is never
 * kept, whichever ends first.
 */
export class Evictions {
  #position = 0;
  #everythingAt = 0;
  /** Of each kind: at which position a thing of this id changed last. */
  readonly #changed: Readonly<Record<ChangedKind, Map<number, number>>> = {
    api_key: new Map(),
    user: new Map(),
  };

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

  /** Whether what was loaded from `position` on still holds. */
  isCurrent(position: number, apiKeyId: number, userId: number): boolean {
    return (
      position >= this.#everythingAt &&
      (this.#changed.api_key.get(apiKeyId) ?? 0) <= position &&
      (this.#changed.user.get(userId) ?? 0) <= position
    );
  }

  #evictEverything(): void {
    this.#everythingAt = this.#position;
    for (const changed of Object.values(this.#changed)) changed.clear();
  }
}
