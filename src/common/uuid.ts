import { randomUUID } from 'node:crypto';

/** A UUID in the form that `uuidV7` generates: lower case, with hyphens. */
export function isUuid(text: string): boolean {
  return /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/.test(text);
}

/**
 * A UUID of version 7 (RFC 9562 §5.7): 48 bits of Unix milliseconds, then 74 random bits. Made by the
 * application so that a write whose outcome is unknown can be repeated; ordered by time to keep indexes compact.
 */
export function uuidV7(now: number = Date.now()): string {
  if (now !== lastTime) [lastTime, lastTimeText] = [now, timeText(now)];
  // The variant and the random bits are those of a random UUID, for which Node keeps random bytes at hand.
  return lastTimeText + randomUUID().slice(15);
}

/** Up to the version: the same for all that are made in one millisecond. */
function timeText(now: number): string {
  const time = now.toString(16).padStart(12, '0');
  return `${time.slice(0, 8)}-${time.slice(8)}-7`;
}

let [lastTime, lastTimeText] = [0, timeText(0)];
