const QUIET_MS = 10_000;
/** Kinds of lines that are remembered at most; more are only possible where texts differ in more than numbers. */
const MOST_KINDS = 1_000;

interface Kind {
  readonly timer: NodeJS.Timeout;
  /** Writes the newest of the lines that were held back, with their number. */
  last: ((heldBack: number) => void) | undefined;
  heldBack: number;
}

/**
 * Lets a line pass once in ten seconds, however often it comes: a dependency that is away would fill the log. Lines
 * that differ in numbers alone are of one kind. What was held back follows as one line with its count.
 */
export class RepeatedLines {
  readonly #kinds = new Map<string, Kind>();

  /** `write` is called at once, or later with the number of lines that it stands for. */
  pass(text: string, write: (heldBack?: number) => void): void {
    const name = text.replaceAll(/\d+/g, '#').slice(0, 200);
    const kind = this.#kinds.get(name);
    if (kind !== undefined) {
      kind.heldBack += 1;
      kind.last = write;
      return;
    }
    write();
    if (this.#kinds.size >= MOST_KINDS) return;
    const timer = setInterval(() => this.#end(name), QUIET_MS);
    timer.unref();
    this.#kinds.set(name, { timer, last: undefined, heldBack: 0 });
  }

  /** After ten seconds without such a line the next one passes at once again. */
  #end(name: string): void {
    const kind = this.#kinds.get(name);
    if (kind?.last === undefined) {
      clearInterval(kind?.timer);
      this.#kinds.delete(name);
      return;
    }
    kind.last(kind.heldBack);
    kind.last = undefined;
    kind.heldBack = 0;
  }
}
