import { BlockList } from 'node:net';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { addressMatcher, matchesGlob, nameMatcher } from '../../src/common/matchers.js';

describe('a list of names', () => {
  it.each([
    ['gpt-4', 'gpt-4', true],
    ['gpt-4', 'gpt-4o', false],
    ['gpt-4', 'GPT-4', false],
    ['gpt-4*', 'gpt-4', true],
    ['gpt-4*', 'gpt-4o-mini', true],
    ['gpt-4*', 'my-gpt-4', false],
    ['*-mini', 'gpt-4o-mini', true],
    ['*-mini', 'gpt-4o-minis', false],
    ['a*b*c', 'a-b-b-c', true],
    ['a*b*c', 'a-c-b', false],
    ['*', '', true],
    ['**', 'anything', true],
    ['', '', true],
    ['', 'x', false],
    ['a.c', 'abc', false],
    ['[ab]?', '[ab]?', true],
    ['a*a', 'a', false],
    ['日*', '日本', true],
  ])('%s matches %s: %s', (pattern, name, expected) => {
    expect(matchesGlob(pattern, name)).toBe(expected);
    expect(nameMatcher([pattern])?.matches(name)).toBe(expected);
    expect(nameMatcher(['other', pattern, 'another*'])?.matches(name)).toBe(expected);
  });

  it('allows every name when it is empty', () => {
    expect(nameMatcher([])).toBeUndefined();
  });

  it('judges as the plain definition of a glob does', () => {
    const text = fc.string({ unit: fc.constantFrom('a', 'b', '*', '.', '\\'), maxLength: 12 });
    fc.assert(
      fc.property(text, text, (glob, name) => {
        const parts = glob.split('*').map((part) => part.replace(/[\\.]/g, String.raw`\$&`));
        expect(matchesGlob(glob, name)).toBe(new RegExp(`^${parts.join('.*')}$`, 's').test(name));
      }),
      { numRuns: 2_000 },
    );
  });

  it('takes no time that a hostile pattern could make long', () => {
    const startedAt = performance.now();
    expect(matchesGlob(`${'*a'.repeat(99)}*b`, 'a'.repeat(10_000))).toBe(false);
    expect(performance.now() - startedAt).toBeLessThan(1_000);
  });
});

describe('a list of addresses', () => {
  it.each([
    [['192.0.2.1'], '192.0.2.1', true],
    [['192.0.2.1'], '192.0.2.10', false],
    [['192.0.2.0/24'], '192.0.2.255', true],
    [['192.0.2.0/24'], '192.0.3.0', false],
    [['192.0.2.77/24'], '192.0.2.1', true],
    [['0.0.0.0/0'], '203.0.113.9', true],
    [['2001:db8::/32'], '2001:db8:ffff::1', true],
    [['2001:db8::/32'], '2001:db9::1', false],
    [['2001:0DB8:0:0::1'], '2001:db8::1', true],
    [['2001:db8::1/128', '10.0.0.0/8'], '10.200.0.1', true],
    [['::ffff:192.0.2.1'], '192.0.2.1', true],
    [['::ffff:192.0.2.0/120'], '192.0.2.9', true],
    [['::ffff:192.0.2.0/120'], '192.0.3.9', false],
    [['::/0'], '192.0.2.1', false],
    [['::/64'], '192.0.2.1', false],
    [['0.0.0.0/0'], '2001:db8::1', false],
    [['2001:db8::/32'], '192.0.2.1', false],
    [['10.0.0.0/8'], '2001:db8::1', false],
  ])('%j matches %s: %s', (entries, address, expected) => {
    expect(addressMatcher(entries)?.matches(address)).toBe(expected);
  });

  it('judges as the block list of Node does, family by family', () => {
    const v4 = fc.tuple(fc.ipV4(), fc.ipV4(), fc.nat(32), fc.constant('ipv4' as const));
    const v6 = fc.tuple(fc.ipV6(), fc.ipV6(), fc.nat(128), fc.constant('ipv6' as const));
    fc.assert(
      fc.property(fc.oneof(v4, v6), fc.boolean(), ([network, other, bits, family], isItself) => {
        // A random address is hardly ever inside: half of the time it is the network's own.
        const address = isItself ? network : other;
        const list = new BlockList();
        list.addSubnet(network, bits, family);
        expect(addressMatcher([`${network}/${bits}`])?.matches(address)).toBe(list.check(address, family));
      }),
      { numRuns: 1_000 },
    );
  });

  it('allows every address when it is empty', () => {
    expect(addressMatcher([])).toBeUndefined();
  });
});
