import { isIP, isIPv4, isIPv6, SocketAddress } from 'node:net';

/** IPv4 as one word of 32 bits, IPv6 as four, most significant first. */
type Words = readonly number[];

interface Block {
  readonly network: Words;
  readonly mask: Words;
}

/** Addresses and CIDR blocks, compiled. Looking one address up in a short list takes a few dozen nanoseconds. */
export class AddressBlocks {
  readonly #v4: readonly Block[];
  readonly #v6: readonly Block[];

  /** `entries` are IPv4 or IPv6 addresses, each perhaps with `/` and a prefix length. */
  constructor(entries: readonly string[]) {
    const blocks = entries.map(blockOf);
    this.#v4 = blocks.filter(({ network }) => network.length === 1);
    this.#v6 = blocks.filter(({ network }) => network.length === 4);
  }

  /** `address` is one that `normalizeAddress` answered. */
  has(address: string): boolean {
    const words = wordsOf(address);
    const blocks = words.length === 1 ? this.#v4 : this.#v6;
    return blocks.some((block) => isInside(words, block));
  }

  /** Whether every address of `entry`, an address or a block, lies in one of these blocks. */
  covers(entry: string): boolean {
    const inner = blockOf(entry);
    const blocks = inner.network.length === 1 ? this.#v4 : this.#v6;
    return blocks.some((outer) => isInside(inner.network, outer) && isWider(outer.mask, inner.mask));
  }
}

/** Whether the text is an IPv4 or IPv6 address without a zone, or a block of them with a prefix length (RFC 4632, RFC 4291). */
export function isAddressOrBlock(text: string): boolean {
  const [address = '', bits, ...rest] = text.split('/');
  const family = isIP(address);
  if (family === 0 || rest.length > 0 || address.includes('%')) return false;
  return bits === undefined || (/^(0|[1-9]\d{0,2})$/.test(bits) && Number(bits) <= (family === 4 ? 32 : 128));
}

/** What one subscriber has to spend: an IPv4 address itself, of an IPv6 address its /64. `address` is normalized. */
export function subscriberNetwork(address: string): string {
  if (!isIPv6(address)) return address;
  const [high = 0, low = 0] = wordsOf(address);
  const groups = [high >>> 16, high & 0xffff, low >>> 16, low & 0xffff];
  return `${groups.map((group) => group.toString(16)).join(':')}::/64`;
}

/** True when a list admits every IPv6 address and no IPv4 address at all: mostly a mistake for "any". */
export function admitsIpv6Alone(entries: readonly string[]): boolean {
  const blocks = entries.map(blockOf);
  return (
    blocks.some(({ network, mask }) => network.length === 4 && mask.every((word) => word === 0)) &&
    blocks.every(({ network }) => network.length === 4)
  );
}

const MAPPED = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/;

/**
 * An address as it is compared and stored, one text for one address: IPv4-mapped IPv6 becomes IPv4, a zone is
 * dropped, IPv6 is in its shortest form (RFC 5952). Undefined for what is no address.
 */
export function normalizeAddress(text: string): string | undefined {
  if (isIPv4(text)) return text;
  const address = (text.split('%')[0] ?? '').trim();
  if (isIPv4(address)) return address;
  if (!isIPv6(address)) return undefined;
  const canonical = new SocketAddress({ address, family: 'ipv6' }).address;
  return MAPPED.exec(canonical)?.[1] ?? canonical;
}

function blockOf(entry: string): Block {
  const [text = '', bits] = entry.split('/');
  const given = wordsOf(text);
  const prefixLength = bits === undefined ? given.length * 32 : Number(bits);
  // A block of IPv4-mapped addresses is a block of IPv4.
  const isMappedBlock = prefixLength >= 96 && isMapped(given);
  const words = isMappedBlock ? given.slice(3) : given;
  const mask = words.map((_word, index) =>
    maskOf((isMappedBlock ? prefixLength - 96 : prefixLength) - index * 32),
  );
  return { network: words.map((word, index) => (word & (mask[index] ?? 0)) >>> 0), mask };
}

function isMapped(words: Words): boolean {
  return words.length === 4 && words[0] === 0 && words[1] === 0 && words[2] === 0xffff;
}

/** A word whose first `bits` bits are set; all for 32 and more, none for 0 and less. */
function maskOf(bits: number): number {
  if (bits >= 32) return 0xffffffff;
  return bits <= 0 ? 0 : (0xffffffff << (32 - bits)) >>> 0;
}

function isInside(words: Words, { network, mask }: Block): boolean {
  for (let index = 0; index < network.length; index += 1) {
    if (((words[index] ?? 0) & (mask[index] ?? 0)) >>> 0 !== network[index]) return false;
  }
  return true;
}

/** Whether each bit that the first mask looks at is looked at by the second, too. */
function isWider(mask: Words, other: Words): boolean {
  return mask.every((word, index) => (word & ~(other[index] ?? 0)) === 0);
}

function wordsOf(address: string): Words {
  return address.includes(':') ? wordsOfV6(address) : [wordOfV4(address)];
}

function wordOfV4(address: string): number {
  let [word, part] = [0, 0];
  for (let at = 0; at < address.length; at += 1) {
    const code = address.charCodeAt(at);
    if (code === 46) {
      word = (word << 8) | part;
      part = 0;
    } else {
      part = part * 10 + code - 48;
    }
  }
  return ((word << 8) | part) >>> 0;
}

function wordsOfV6(address: string): Words {
  const lastColon = address.lastIndexOf(':');
  const tail = address.slice(lastColon + 1);
  const word = tail.includes('.') ? wordOfV4(tail) : undefined;
  const text =
    word === undefined
      ? address
      : `${address.slice(0, lastColon + 1)}${(word >>> 16).toString(16)}:${(word & 0xffff).toString(16)}`;
  const [head = '', rest] = text.split('::');
  const before = head === '' ? [] : head.split(':');
  const after = rest === undefined || rest === '' ? [] : rest.split(':');
  const groups = [
    ...before,
    ...Array.from({ length: 8 - before.length - after.length }, () => '0'),
    ...after,
  ];
  const numbers = groups.map((group) => Number.parseInt(group, 16));
  return [0, 2, 4, 6].map((index) => (((numbers[index] ?? 0) << 16) | (numbers[index + 1] ?? 0)) >>> 0);
}
