import { setTimeout as delay } from 'node:timers/promises';

const POLL_MS = 10;

/** Polls until the condition holds; resolves to false when it does not by the deadline (epoch ms). */
export async function waitUntil(condition: () => Promise<boolean>, deadlineMs: number): Promise<boolean> {
  for (;;) {
    if (await condition()) return true;
    if (Date.now() >= deadlineMs) return false;
    await delay(POLL_MS);
  }
}
