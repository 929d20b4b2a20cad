import { randomUUID } from 'node:crypto';

/**
 * A UUID of version 7 (RFC 9562 §5.7): 48 bits of Unix milliseconds, then 74 random bits. Made by the
 * application so that a write whose outcome is unknown can be repeated; ordered by time to keep indexes compact.
 */
export function uuidV7(now: number = Date.now()): string {
  const time = now.toString(16).padStart(12, '0');
  // The variant and the random bits are those of a random UUID, for which Node keeps random bytes at hand.
  return `${time.slice(0, 8)}-${time.slice(8)}-7${randomUUID().slice(15)}`;
}
