import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { AddressBlocks, normalizeAddress } from '../../src/common/ip-address.js';
import { clientAddress } from '../../src/http/client-address.service.js';

const PROXIES = new AddressBlocks(['10.0.0.0/8', '192.0.2.1', '2001:db8:ff::/48']);
const NOBODY = new AddressBlocks([]);

describe('the address of the caller', () => {
  it.each([
    ['203.0.113.9', '203.0.113.9'],
    [' 203.0.113.9 ', '203.0.113.9'],
    ['::ffff:203.0.113.9', '203.0.113.9'],
    ['::FFFF:203.0.113.9', '203.0.113.9'],
    ['::ffff:cb00:7109', '203.0.113.9'],
    ['0:0:0:0:0:ffff:203.0.113.9', '203.0.113.9'],
    ['2001:DB8::1', '2001:db8::1'],
    ['2001:0db8:0000:0000:0000:0000:0000:0001', '2001:db8::1'],
    ['2001:db8:0:0:1:0:0:1', '2001:db8::1:0:0:1'],
    ['fe80::1%eth0', 'fe80::1'],
    ['::1', '::1'],
  ])('is written in one way: %s is %s', (written, expected) => {
    expect(normalizeAddress(written)).toBe(expected);
  });

  it.each([
    '',
    'unknown',
    '_hidden',
    '203.0.113',
    '203.0.113.256',
    '0x7f.1',
    '127.1',
    '017.0.0.1',
    '1.2.3.4:80',
  ])('is none where something else is written: %s', (written) => {
    expect(normalizeAddress(written)).toBeUndefined();
  });

  it.each(['[::1]:80', '::g', '1.2.3.4, 5.6.7.8', '1.2.3.4\n', 'localhost', '%eth0', "' OR 1=1"])(
    'is none, or one address, where text is written around it: %j',
    (written) => {
      expect([undefined, '1.2.3.4']).toContain(normalizeAddress(written));
    },
  );

  it('is the peer when no proxy is trusted, whatever was forwarded', () => {
    expect(clientAddress('203.0.113.9', undefined, NOBODY)).toBe('203.0.113.9');
    expect(clientAddress('203.0.113.9', '198.51.100.1', NOBODY)).toBe('203.0.113.9');
    expect(clientAddress('::ffff:203.0.113.9', '127.0.0.1, 10.0.0.1', NOBODY)).toBe('203.0.113.9');
    expect(clientAddress(undefined, '198.51.100.1', NOBODY)).toBeUndefined();
  });

  it('is the peer when that is no trusted proxy, also when others are', () => {
    expect(clientAddress('203.0.113.9', '198.51.100.1', PROXIES)).toBe('203.0.113.9');
    expect(clientAddress('203.0.113.9', '198.51.100.1, 10.0.0.1', PROXIES)).toBe('203.0.113.9');
  });

  it.each([
    ['198.51.100.1', '198.51.100.1'],
    ['1.1.1.1, 198.51.100.1', '198.51.100.1'],
    ['1.1.1.1, 198.51.100.1, 10.9.9.9', '198.51.100.1'],
    ['10.1.1.1, 198.51.100.1, 10.9.9.9, 192.0.2.1', '198.51.100.1'],
    ['198.51.100.1,10.9.9.9', '198.51.100.1'],
    [' , 198.51.100.1 , ', '198.51.100.1'],
    ['::ffff:198.51.100.1', '198.51.100.1'],
    ['198.51.100.1, ::ffff:10.9.9.9', '198.51.100.1'],
    ['198.51.100.1, ::ffff:a09:909', '198.51.100.1'],
    ['2001:db8:1::9, 2001:db8:ff:1::1', '2001:db8:1::9'],
    ['10.9.9.9, 10.8.8.8', '10.9.9.9'],
    ['', '10.0.0.1'],
    [undefined, '10.0.0.1'],
    ['198.51.100.1:443', '198.51.100.1'],
    ['1.1.1.1:1, 198.51.100.1:65535 , 10.9.9.9:8080', '198.51.100.1'],
    ['[2001:db8:1::9]:443', '2001:db8:1::9'],
    ['[2001:DB8:1::9]', '2001:db8:1::9'],
    ['[2001:db8:1::9]:443, [2001:db8:ff:1::1]:80', '2001:db8:1::9'],
    ['[::ffff:198.51.100.1]:443', '198.51.100.1'],
    ['[fe80::1%eth0]:443', 'fe80::1'],
  ])('behind a trusted proxy that forwarded %j is %s', (forwarded, expected) => {
    expect(clientAddress('10.0.0.1', forwarded, PROXIES)).toBe(expected);
    expect(clientAddress('::ffff:10.0.0.1', forwarded, PROXIES)).toBe(expected);
  });

  it.each([
    ['unknown', '10.0.0.1'],
    ['198.51.100.1, unknown', '10.0.0.1'],
    ['198.51.100.1, unknown, 192.0.2.1', '192.0.2.1'],
    ['for=198.51.100.1', '10.0.0.1'],
    ['198.51.100.1:', '10.0.0.1'],
    ['198.51.100.1:http', '10.0.0.1'],
    ['198.51.100.1:123456', '10.0.0.1'],
    ['198.51.100.256:80', '10.0.0.1'],
    ['[198.51.100.1]:80', '198.51.100.1'],
    ['[]:80', '10.0.0.1'],
    ['[2001:db8::1', '10.0.0.1'],
    ['2001:db8::1]:80', '10.0.0.1'],
    ['[2001:db8::1]x:80', '10.0.0.1'],
  ])(
    'is that of the proxy itself, and never unknown, where a trusted proxy forwarded %j: %s',
    (forwarded, expected) => {
      expect(clientAddress('10.0.0.1', forwarded, PROXIES)).toBe(expected);
    },
  );

  it('names what a trusted proxy forwarded that is no address, once', () => {
    const unreadable: string[] = [];
    const note = (entry: string) => void unreadable.push(entry);
    clientAddress('10.0.0.1', '198.51.100.1, nonsense , 10.9.9.9', PROXIES, note);
    clientAddress('10.0.0.1', 'nonsense, 198.51.100.1:80', PROXIES, note);
    clientAddress('203.0.113.9', 'nonsense', PROXIES, note);
    expect(unreadable).toEqual(['nonsense']);
  });

  it('is never changed by what a caller writes in front of it', () => {
    const anything = fc.oneof(
      fc.ipV4(),
      fc.ipV6(),
      fc.string(),
      fc.constant('10.0.0.1'),
      fc.constant('192.0.2.1'),
    );
    fc.assert(
      fc.property(fc.array(anything, { maxLength: 6 }), (made) => {
        const forged = [...made, '198.51.100.1', '10.9.9.9'].join(',');
        expect(clientAddress('10.0.0.1', forged, PROXIES)).toBe('198.51.100.1');
        expect(clientAddress('10.0.0.1', `${forged}:8080`, PROXIES)).toBe('198.51.100.1');
        expect(clientAddress('203.0.113.9', forged, PROXIES)).toBe('203.0.113.9');
      }),
    );
  });

  it('is an address, whatever is forwarded', () => {
    const port = fc.integer({ min: 0, max: 65_535 });
    const anything = fc.oneof(
      fc.string(),
      fc.tuple(fc.ipV4(), port).map(([address, number]) => `${address}:${number}`),
      fc.tuple(fc.ipV6(), port).map(([address, number]) => `[${address}]:${number}`),
    );
    fc.assert(
      fc.property(anything, (forwarded) => {
        const found = clientAddress('10.0.0.1', forwarded, PROXIES) ?? '';
        expect(normalizeAddress(found)).toBe(found);
      }),
    );
  });
});

describe('a list of addresses', () => {
  it.each([
    ['10.0.0.0/8', '10.255.255.255', true],
    ['10.0.0.0/8', '11.0.0.0', false],
    ['192.0.2.128/25', '192.0.2.127', false],
    ['192.0.2.128/25', '192.0.2.128', true],
    ['0.0.0.0/0', '203.0.113.9', true],
    ['0.0.0.0/0', '2001:db8::1', false],
    ['::/0', '2001:db8::1', true],
    ['2001:db8::/32', '2001:db8:ffff::1', true],
    ['2001:db8::/32', '2001:db9::1', false],
    ['2001:0DB8:0::1', '2001:db8::1', true],
    ['203.0.113.9', '203.0.113.10', false],
    ['203.0.113.9/32', '203.0.113.9', true],
    ['::1/128', '::1', true],
  ])('%s lists %s: %s', (entry, address, expected) => {
    expect(new AddressBlocks([entry]).has(address)).toBe(expected);
  });
});
