import { BlockList, isIPv6 } from 'node:net';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { AddressBlocks, normalizeAddress } from '../../src/common/ip-address.js';

const family = (address: string) => (isIPv6(address) ? 'ipv6' : 'ipv4');

/** Node's own list, which is right and slow. */
function referenceList(network: string, bits: number): BlockList {
  const list = new BlockList();
  list.addSubnet(network, bits, family(network));
  return list;
}

/** A block and an address that is near its edge as often as it is anywhere. */
function blockAndAddress(addresses: fc.Arbitrary<string>, mostBits: number) {
  const bits = fc.integer({ min: 0, max: mostBits });
  const same = addresses.chain((address) => fc.tuple(fc.constant(address), bits, fc.constant(address)));
  return fc.oneof(same, fc.tuple(addresses, bits, addresses));
}

describe('address blocks', () => {
  it.each([
    ['IPv4', fc.ipV4(), 32],
    ['IPv6', fc.ipV6(), 128],
  ] as const)('hold exactly the addresses that Node says they hold: %s', (_family, addresses, mostBits) => {
    fc.assert(
      fc.property(blockAndAddress(addresses, mostBits), ([network, bits, asked]) => {
        const address = normalizeAddress(asked);
        fc.pre(address !== undefined && family(address) === family(network));
        const isInside = referenceList(network, bits).check(address ?? '', family(network));
        expect(new AddressBlocks([`${network}/${bits}`]).has(address ?? '')).toBe(isInside);
      }),
      { numRuns: 3_000 },
    );
  });

  it('hold an IPv4-mapped address where they hold the IPv4 address, and the other way round', () => {
    const mapped = normalizeAddress('::FFFF:203.0.113.7') ?? '';
    expect(new AddressBlocks(['203.0.113.0/24']).has(mapped)).toBe(true);
    expect(new AddressBlocks(['::ffff:203.0.113.0/120']).has('203.0.113.7')).toBe(true);
    expect(new AddressBlocks(['::ffff:203.0.113.0/120']).has('203.0.114.7')).toBe(false);
  });

  it('hold nothing of the other family, not even when they hold all of theirs', () => {
    expect(new AddressBlocks(['0.0.0.0/0']).has('2001:db8::1')).toBe(false);
    expect(new AddressBlocks(['::/0']).has('192.0.2.1')).toBe(false);
  });
});
