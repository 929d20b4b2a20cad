const STOPPING_SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

/** What a benchmark must take away again, whatever happens: the last thing made goes first. */
export class Cleanup {
  readonly #steps: (() => unknown)[] = [];

  /** The step may answer a promise, which is waited for. */
  add(step: () => unknown): void {
    this.#steps.push(step);
  }

  async run(): Promise<void> {
    for (let step = this.#steps.pop(); step !== undefined; step = this.#steps.pop()) {
      try {
        await step();
      } catch (error) {
        console.error(`Could not clean up: ${String(error)}`);
        process.exitCode = 1;
      }
    }
  }
}

/** Runs a benchmark; ends it, cleaned up, when it is done, fails, is interrupted or takes longer than it may. */
export async function runBounded(
  mostMinutes: number,
  benchmark: (cleanup: Cleanup) => Promise<void>,
): Promise<void> {
  const cleanup = new Cleanup();
  let stop: (reason: Error) => void = () => undefined;
  const stopped = new Promise<never>((_resolve, reject) => (stop = reject));
  const tooLong = setTimeout(
    () => stop(new Error(`It took longer than ${mostMinutes} minutes.`)),
    mostMinutes * 60_000,
  );
  for (const signal of STOPPING_SIGNALS) process.once(signal, () => stop(new Error(`Stopped by ${signal}.`)));
  try {
    await Promise.race([benchmark(cleanup), stopped]);
  } catch (error) {
    console.error(error);
    process.exitCode = 1;
  } finally {
    clearTimeout(tooLong);
    await cleanup.run();
  }
  // What an interrupted benchmark left half done must not keep the process.
  process.exit();
}
