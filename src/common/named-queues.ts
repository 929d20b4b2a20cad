import { AppError } from './app-error.js';

interface Lane {
  running: number;
  readonly waiting: (() => void)[];
}

/** Lets a few at a time through under each name, the others in the order they came. */
export class NamedQueues {
  readonly #lanes = new Map<string, Lane>();

  /** `maxRunning` and `maxWaiting` are for each name. */
  constructor(
    private readonly maxRunning: number,
    private readonly maxWaiting: number,
  ) {}

  /** @throws AppError `service.overloaded` when too many wait under the name */
  async run<Result>(name: string, work: () => Promise<Result>): Promise<Result> {
    const lane = this.#lanes.get(name) ?? { running: 0, waiting: [] };
    this.#lanes.set(name, lane);
    if (lane.waiting.length >= this.maxWaiting)
      throw new AppError('service.overloaded', 'Too many requests are waiting.', { retryAfterSeconds: 1 });
    // A finished one passes its slot to the first waiting one, so a newcomer can never overtake.
    if (lane.running >= this.maxRunning) await new Promise<void>((resolve) => lane.waiting.push(resolve));
    else lane.running += 1;
    try {
      return await work();
    } finally {
      const next = lane.waiting.shift();
      if (next !== undefined) next();
      else if ((lane.running -= 1) === 0) this.#lanes.delete(name);
    }
  }
}
