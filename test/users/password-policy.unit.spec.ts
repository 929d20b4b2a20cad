import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { COMMON_PASSWORDS } from '../../src/users/common-passwords.js';
import { passwordProblem } from '../../src/users/password.policy.js';

describe('a new password', () => {
  it.each([
    ['12 characters', 'twelve chars'],
    ['no digit, capital or sign', 'only small letters and spaces'],
    ['72 bytes', 'x'.repeat(71) + 'y'],
    ['72 bytes in 36 characters', 'é'.repeat(36)],
    ['72 bytes in 18 characters', '🔑'.repeat(18)],
    ['spaces at both ends', '  spaces are fine  '],
    ['a username among other words', 'dana goes to the market'],
  ])('is fine with %s', (_name, password) => {
    expect(passwordProblem(password, 'dana')).toBeUndefined();
  });

  it.each([
    ['', 'must be at least 12 characters long'],
    ['eleven char', 'must be at least 12 characters long'],
    ['🔑'.repeat(11), 'must be at least 12 characters long'],
    ['x'.repeat(73), 'must be at most 72 bytes long'],
    ['é'.repeat(37), 'must be at most 72 bytes long'],
    ['🔑'.repeat(19), 'must be at most 72 bytes long'],
    ['123456789012', 'is one of the most common passwords'],
    ['PassWord1234', 'is one of the most common passwords'],
    ['qwertyuiop12', 'is one of the most common passwords'],
  ])('is refused when it is %s: it %s', (password, problem) => {
    expect(passwordProblem(password, 'dana')).toBe(problem);
  });

  it.each(['dana.scully1', 'DANA.SCULLY!', '1dana.scully', 'dana.scully1234567'])(
    'is refused when it is built on the username: %s',
    (password) => {
      expect(passwordProblem(password, 'Dana.Scully')).toBe('must not be built on the username');
    },
  );

  it('that is common is on the list in lower case and long enough to be there', () => {
    for (const password of COMMON_PASSWORDS) {
      expect(password).toBe(password.toLowerCase());
      expect(passwordProblem(password, 'somebody')).toBe('is one of the most common passwords');
      expect(passwordProblem(password.toUpperCase(), 'somebody')).toBe('is one of the most common passwords');
    }
    expect(COMMON_PASSWORDS.size).toBeGreaterThan(200);
  });

  it('is never accepted below 12 code points or above 72 bytes', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme', maxLength: 80 }), (password) => {
        if (passwordProblem(password, 'somebody') !== undefined) return;
        expect([...password].length).toBeGreaterThanOrEqual(12);
        expect(Buffer.byteLength(password)).toBeLessThanOrEqual(72);
      }),
      { numRuns: 1_000 },
    );
  });
});
