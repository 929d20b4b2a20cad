import { crc32 } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { checksumOf, generateSecret, isWellFormedSecret } from '../../src/api-keys/secret-format.js';

const BASE62 = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz';
const VECTOR = 'en_0123456789ABCDEFGHIJKLMNOPQRSTUV206ZPL';

describe('the format of secrets', () => {
  it('is the one of the test vector', () => {
    expect(checksumOf(VECTOR.slice(0, -6))).toBe('206ZPL');
    expect(isWellFormedSecret(VECTOR, ['en_'])).toBe(true);
  });

  it('ends in CRC-32 over everything before, in six base62 digits, most significant first', () => {
    for (let count = 0; count < 500; count += 1) {
      const secret = generateSecret('en_');
      const value = secret
        .slice(-6)
        .split('')
        .reduce((sum, digit) => sum * 62 + BASE62.indexOf(digit), 0);
      expect(value).toBe(crc32(secret.slice(0, -6)));
    }
  });

  it('pads a small checksum with zeros on the left', () => {
    // The CRC-32 of no bytes is 0.
    expect(checksumOf('')).toBe('000000');
  });

  it.each(['en_', 'a_', 'lk_live_', 'ABCDEFGHIJKLMN0_'])(
    'makes secrets under %s that are well formed',
    (prefix) => {
      const secret = generateSecret(prefix);
      expect(secret).toHaveLength(prefix.length + 38);
      expect(isWellFormedSecret(secret, ['other_', prefix])).toBe(true);
      expect(isWellFormedSecret(secret, ['other_'])).toBe(false);
      expect(isWellFormedSecret(secret, [])).toBe(false);
    },
  );

  it('tells secrets under a prefix that begins another', () => {
    const secret = generateSecret('en_live_');
    expect(isWellFormedSecret(secret, ['en_', 'en_live_'])).toBe(true);
    expect(isWellFormedSecret(secret, ['en_'])).toBe(false);
  });

  it('refuses every change of one character, every shorter and every longer text', () => {
    for (let index = 0; index < VECTOR.length; index += 1) {
      for (const character of ['!', '_', ' ', 'z', '0', 'é', '\u{1F511}', '']) {
        const changed = VECTOR.slice(0, index) + character + VECTOR.slice(index + 1);
        expect({ changed, ok: isWellFormedSecret(changed, ['en_']) }).toEqual({
          changed,
          ok: changed === VECTOR,
        });
      }
      expect(isWellFormedSecret(VECTOR.slice(0, index), ['en_'])).toBe(false);
    }
    expect(isWellFormedSecret(`${VECTOR}0`, ['en_'])).toBe(false);
    expect(isWellFormedSecret(` ${VECTOR}`, ['en_'])).toBe(false);
  });

  it('refuses characters outside base62 even with a fitting checksum', () => {
    for (const character of ['-', '_', '/', ':', '@', '[', '`', '{', 'ä']) {
      const body = `en_${character.repeat(32)}`;
      expect(isWellFormedSecret(body + checksumOf(body), ['en_'])).toBe(false);
    }
  });

  it('draws every character at every place about equally often, and never twice the same secret', () => {
    const count = 20_000;
    const secrets = Array.from({ length: count }, () => generateSecret('en_').slice(3, 35));
    expect(new Set(secrets).size).toBe(count);
    const seen = new Map<string, number>();
    for (const secret of secrets)
      for (const character of secret) seen.set(character, (seen.get(character) ?? 0) + 1);
    expect([...seen.keys()].toSorted().join('')).toBe(BASE62);
    expect(chiSquare([...seen.values()])).toBeLessThan(MOST_LIKELY);
    for (const place of [0, 15, 31]) {
      const atPlace = BASE62.split('').map(
        (character) => secrets.filter((secret) => secret[place] === character).length,
      );
      expect(chiSquare(atPlace)).toBeLessThan(MOST_LIKELY);
    }
  });
});

/** With 61 degrees of freedom a fair draw passes this less than once in a million runs; `byte % 62` is far beyond. */
const MOST_LIKELY = 130;

function chiSquare(counts: readonly number[]): number {
  const expected = counts.reduce((sum, each) => sum + each, 0) / counts.length;
  return counts.reduce((sum, each) => sum + (each - expected) ** 2 / expected, 0);
}
