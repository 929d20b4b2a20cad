import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { grants, intersection, lacking, PERMISSION_PATTERN } from '../../src/auth/permission.policy.js';
import { isWithin, meaning, universe } from '../security/permission-reference.js';

const EVERYTHING = universe(['a', 'b'], 5);
const permission = fc
  .array(fc.constantFrom('a', 'b', '*'), { minLength: 1, maxLength: 4 })
  .map((segments) => segments.join(':'));
const permissions = fc.array(permission, { maxLength: 4 });

describe('permissions', () => {
  it('grant exactly what they mean, wildcards on both sides included', () => {
    fc.assert(
      fc.property(permissions, permission, (held, wanted) => {
        expect(grants(held, wanted)).toBe(isWithin([wanted], held, EVERYTHING));
      }),
      { numRuns: 1_000 },
    );
  });

  it('that two sets share mean exactly what both mean', () => {
    fc.assert(
      fc.property(permissions, permissions, (a, b) => {
        const inBoth = [...meaning(a, EVERYTHING)].filter((one) => meaning(b, EVERYTHING).has(one));
        const shared = [...meaning(intersection(a, b), EVERYTHING)];
        expect(shared.toSorted()).toEqual(inBoth.toSorted());
      }),
      { numRuns: 300 },
    );
  });

  it('that somebody lacks are those that are not granted', () => {
    fc.assert(
      fc.property(permissions, permissions, (held, wanted) => {
        expect(lacking(held, wanted)).toEqual(wanted.filter((one) => !grants(held, one)));
      }),
    );
  });

  it('never grant more after an intersection than before', () => {
    fc.assert(
      fc.property(permissions, permissions, permission, (a, b, wanted) => {
        if (grants(intersection(a, b), wanted)) expect(grants(a, wanted) && grants(b, wanted)).toBe(true);
      }),
      { numRuns: 1_000 },
    );
  });

  it.each([
    ['platform:*', 'platform:api-keys:read', true],
    ['platform:*', 'platform', false],
    ['platform:*:read', 'platform:users:read', true],
    ['platform:*:read', 'platform:users:update', false],
    ['platform:*:read', 'platform:a:b:read', false],
    ['platform:users:*', 'platform:*', false],
    ['*', 'platform:users:read', true],
    ['platform:users:read', 'platform:users:*', false],
    ['platform:user', 'platform:users', false],
  ])('of %s over %s: %s', (held, wanted, expected) => {
    expect(grants([held], wanted)).toBe(expected);
  });

  it.each(['platform:users:read', '*', 'a:*:b', 'x'])('may be written %s', (text) => {
    expect(PERMISSION_PATTERN.test(text)).toBe(true);
  });

  it.each(['', ':', 'a:', ':a', 'a::b', 'a:b*', 'A:b', 'a b', 'a:b\n', 'a:b:c:d:e:f:g:h:i'])(
    'may not be written %j',
    (text) => {
      expect(PERMISSION_PATTERN.test(text)).toBe(false);
    },
  );
});
