import { randomBytes } from 'node:crypto';
import { crc32 } from 'node:zlib';

/*
 * A secret is `<prefix><32 random base62 characters><6 base62 characters of CRC-32 over all before them>`.
 * base62 is 0-9A-Za-z, most significant digit first, left-padded with 0. CRC-32 is the one of zlib (ISO-HDLC).
 * Test vector: prefix `en_`, random part `0123456789ABCDEFGHIJKLMNOPQRSTUV`, checksum `206ZPL`.
 */
const ALPHABET = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz';
const RANDOM_LENGTH = 32;
const CHECKSUM_LENGTH = 6;
/** The largest multiple of 62 that a byte can reach: bytes from here on would favour the first characters. */
const UNBIASED_BYTES = 248;
/** Random bytes asked for beyond one per character: one in 32 is of no use, and asking again costs more. */
const SPARE_BYTES = 8;

/** Characters of a secret that are shown as its hint. */
export const KEY_PREFIX_LENGTH = 8;

/** A new secret, uniform over its 32 random characters (190 bits). */
export function generateSecret(prefix: string): string {
  const body = prefix + randomBase62(RANDOM_LENGTH);
  return body + checksumOf(body);
}

/** How long every secret under a prefix is. */
export function lengthOfSecret(prefix: string): number {
  return prefix.length + RANDOM_LENGTH + CHECKSUM_LENGTH;
}

/** True when a text has the shape and the checksum of a secret under one of the prefixes: worth a look-up. */
export function isWellFormedSecret(text: string, prefixes: readonly string[]): boolean {
  const prefix = prefixes.find(
    (candidate) => text.length === lengthOfSecret(candidate) && text.startsWith(candidate),
  );
  if (prefix === undefined) return false;
  for (let index = prefix.length; index < text.length; index += 1) {
    if (!isBase62(text.charCodeAt(index))) return false;
  }
  return checksumOf(text.slice(0, -CHECKSUM_LENGTH)) === text.slice(-CHECKSUM_LENGTH);
}

/** The checksum of everything that stands before it. */
export function checksumOf(body: string): string {
  let rest = crc32(body);
  let digits = '';
  for (let index = 0; index < CHECKSUM_LENGTH; index += 1) {
    digits = ALPHABET.charAt(rest % ALPHABET.length) + digits;
    rest = Math.floor(rest / ALPHABET.length);
  }
  return digits;
}

function randomBase62(length: number): string {
  let text = '';
  while (text.length < length) {
    for (const byte of randomBytes(length + SPARE_BYTES)) {
      if (byte < UNBIASED_BYTES && text.length < length) text += ALPHABET.charAt(byte % ALPHABET.length);
    }
  }
  return text;
}

function isBase62(code: number): boolean {
  return (code >= 48 && code <= 57) || (code >= 65 && code <= 90) || (code >= 97 && code <= 122);
}
