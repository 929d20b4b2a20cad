import { Clock } from '../../src/common/clock.js';

/** The real time, moved by whatever a test says. */
export class TestClock extends Clock {
  #offsetMs = 0;

  override nowMs(): number {
    return Date.now() + this.#offsetMs;
  }

  advanceSeconds(seconds: number): void {
    this.#offsetMs += seconds * 1000;
  }
}
