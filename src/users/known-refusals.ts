const TRUSTED_MS = 1_000;
const MOST_SUBJECTS = 10_000;

interface KnownRefusal {
  readonly knownSince: number;
  readonly endsAt: number;
}

/**
 * Subjects that the database refused within the last second, so that a flood of attempts costs one read a second and not
 * one for each. The database decides again after that second. Times are milliseconds. Beyond 10,000 entries the oldest
 * are dropped.
 */
export class KnownRefusals {
  readonly #refusals = new Map<string, KnownRefusal>();

  /** Whole seconds until the subject may try again; undefined when the database has to be asked. */
  secondsLeft(subject: string, now: number): number | undefined {
    const refusal = this.#refusals.get(subject);
    if (refusal === undefined) return undefined;
    const { knownSince, endsAt } = refusal;
    // No entry lasts longer when the clock is set back.
    if (now >= knownSince && now < Math.min(endsAt, knownSince + TRUSTED_MS))
      return Math.ceil((endsAt - now) / 1_000);
    this.#refusals.delete(subject);
    return undefined;
  }

  add(subject: string, secondsLeft: number, now: number): void {
    this.#refusals.delete(subject);
    const [oldest] = this.#refusals.size < MOST_SUBJECTS ? [] : this.#refusals.keys();
    if (oldest !== undefined) this.#refusals.delete(oldest);
    this.#refusals.set(subject, { knownSince: now, endsAt: now + secondsLeft * 1_000 });
  }

  delete(subject: string): void {
    this.#refusals.delete(subject);
  }
}
