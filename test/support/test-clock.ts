import { Clock } from '../../src/common/clock.js';

/** The real time, moved by whatever a test says, or standing still. */
export class TestClock extends Clock {
  #offsetMs = 0;
  #stoppedAtMs: number | undefined;

  override nowMs(): number {
    return this.#stoppedAtMs ?? Date.now() + this.#offsetMs;
  }

  advanceSeconds(seconds: number): void {
    this.#offsetMs += seconds * 1000;
  }

  /** From now on it is this moment, so that a limit of time can be hit to the millisecond. */
  stopAt(ms: number): void {
    this.#stoppedAtMs = ms;
  }

  goOn(): void {
    this.#stoppedAtMs = undefined;
  }
}
