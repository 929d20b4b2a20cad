import { createHmac, randomInt } from 'node:crypto';

/* The documented form of a secret, written down a second time. */

const DIGITS = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz';

/** A well-formed secret that nobody has been given. */
export function newSecret(prefix = 'en_'): string {
  return withChecksum(prefix + Array.from({ length: 32 }, () => DIGITS.charAt(randomInt(62))).join(''));
}

/** The text with the six characters that make it well-formed. */
export function withChecksum(body: string): string {
  let rest = crc32(body);
  let digits = '';
  for (let place = 0; place < 6; place += 1) {
    digits = DIGITS.charAt(rest % 62) + digits;
    rest = Math.floor(rest / 62);
  }
  return body + digits;
}

/** What the database holds of a secret. */
export function digestOf(secret: string, pepper: string): Buffer {
  return createHmac('sha256', pepper).update(secret).digest();
}

/** CRC-32 (ISO-HDLC), bit by bit. */
function crc32(text: string): number {
  let register = 0xffffffff;
  for (const byte of Buffer.from(text)) {
    register ^= byte;
    for (let bit = 0; bit < 8; bit += 1) register = (register >>> 1) ^ (register & 1 ? 0xedb88320 : 0);
  }
  return (register ^ 0xffffffff) >>> 0;
}
