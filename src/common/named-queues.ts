import { AppError } from './app-error.js';

interface Queue {
  running: number;
  readonly waiting: (() => void)[];
}

/**
 * Runs a few pieces of work at a time under each name, the others in the order of arrival. Work under one name never waits
 * for that under another.
 */
export class NamedQueues<Name> {
  readonly #queues = new Map<Name, Queue>();

  /** `maxRunning` and `maxWaiting` are for each name. */
  constructor(
    private readonly maxRunning: number,
    private readonly maxWaiting = Infinity,
  ) {}

  /** Begins at once where there is room. @throws AppError `service.overloaded` when too many wait under the name */
  async run<Result>(name: Name, work: () => Promise<Result>): Promise<Result> {
    const queue = this.#queues.get(name) ?? { running: 0, waiting: [] };
    this.#queues.set(name, queue);
    if (queue.waiting.length >= this.maxWaiting)
      throw new AppError('service.overloaded', 'Too many requests are waiting.', { retryAfterSeconds: 1 });
    // A finished one passes its slot to the first waiting one, so a newcomer can never overtake.
    if (queue.running >= this.maxRunning) await new Promise<void>((resolve) => queue.waiting.push(resolve));
    else queue.running += 1;
    try {
      return await work();
    } finally {
      const next = queue.waiting.shift();
      if (next !== undefined) next();
      else if ((queue.running -= 1) === 0) this.#queues.delete(name);
    }
  }
}
