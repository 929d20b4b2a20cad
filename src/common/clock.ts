/** The time of day. Injected wherever a rule depends on it, so that a test can set it. */
export class Clock {
  now(): Date {
    return new Date();
  }
}
