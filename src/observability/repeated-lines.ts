const QUIET_MS = 10_000;
/** The most kinds of lines that are remembered; lines of further kinds are all written. */
const MOST_KINDS = 1_000;

interface Kind {
  readonly timer: NodeJS.Timeout;
  /** Writes the newest of the lines that were held back, with their number. */
  last: ((heldBack: number) => void) | undefined;
  heldBack: number;
}

/**
 * Lets a line pass once in ten seconds, however often it repeats: otherwise an unavailable dependency would fill the log.
 * Lines that differ only in numbers are of one kind. Those that were held back follow as one line with their count.
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
