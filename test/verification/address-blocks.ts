/*
 * Addresses as the whole numbers they are. An IPv4 address is one of 32 bits; an IPv6 address that maps one
 * (`::ffff:0:0/96`) is that one; any other is one of 128.
 */

interface Address {
  readonly bits: 32 | 128;
  readonly value: bigint;
}

/** Whether the address is one of the entries or inside one of them. An IPv6 block holds no IPv4 address, not even `::/0`. */
export function isInBlocks(address: string, entries: readonly string[]): boolean {
  return entries.some((entry) => isInBlock(address, entry));
}

function isInBlock(address: string, entry: string): boolean {
  const [text, given] = entry.split('/');
  const isMapped = text!.includes(':') && addressOf(text!).bits === 32;
  const network = isMapped && given !== undefined && Number(given) < 96 ? wideOf(text!) : addressOf(text!);
  const length =
    given === undefined ? network.bits : Number(given) - (isMapped && network.bits === 32 ? 96 : 0);
  const asked = addressOf(address);
  const ignored = BigInt(network.bits - length);
  return asked.bits === network.bits && asked.value >> ignored === network.value >> ignored;
}

function addressOf(text: string): Address {
  if (!text.includes(':')) return { bits: 32, value: ipv4(text) };
  const wide = wideOf(text);
  return wide.value >> 32n === 0xffffn ? { bits: 32, value: wide.value & 0xffffffffn } : wide;
}

function wideOf(text: string): Address {
  const withoutZone = text.replace(/%.*/, '');
  const hexadecimal = withoutZone.replace(/\d+\.\d+\.\d+\.\d+$/, (tail) => {
    const value = ipv4(tail);
    return `${(value >> 16n).toString(16)}:${(value & 0xffffn).toString(16)}`;
  });
  const [head, tail] = hexadecimal.split('::').map((half) => half.split(':').filter((group) => group !== ''));
  const missing = 8 - head!.length - (tail?.length ?? 0);
  const groups = [...head!, ...Array<string>(missing).fill('0'), ...(tail ?? [])];
  return { bits: 128, value: groups.reduce((value, group) => (value << 16n) | BigInt(`0x${group}`), 0n) };
}

function ipv4(text: string): bigint {
  return text.split('.').reduce((value, part) => (value << 8n) | BigInt(part), 0n);
}
