/** Waiting work, by caller. */
interface Line {
  running: number;
  readonly waiting: (() => void)[];
}

/**
 * Lets each caller have so much work under way at a time; more of the same caller waits, first come first served. One
 * caller then never delays another, as long as there is capacity for several.
 */
export class FairQueue {
  readonly #lines = new Map<number, Line>();

  constructor(private readonly atOnce: number) {}

  async run<Result>(callerId: number, work: () => Promise<Result>): Promise<Result> {
    const line = this.#lines.get(callerId) ?? { running: 0, waiting: [] };
    this.#lines.set(callerId, line);
    if (line.running < this.atOnce) line.running += 1;
    else await new Promise<void>((resolve) => line.waiting.push(resolve));
    try {
      return await work();
    } finally {
      this.#leave(callerId, line);
    }
  }

  /** The next waiting item takes over the slot of a finished one. */
  #leave(callerId: number, line: Line): void {
    const next = line.waiting.shift();
    if (next !== undefined) return next();
    line.running -= 1;
    if (line.running === 0) this.#lines.delete(callerId);
  }
}
