/** The time of day. Injected wherever a rule depends on it, so that a test can set it. */
export class Clock {
  /** Unix milliseconds; makes no object. */
  nowMs(): number {
    return Date.now();
  }

  now(): Date {
    return new Date(this.nowMs());
  }
}
