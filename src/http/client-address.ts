import type { IncomingMessage } from 'node:http';
import { BlockList, isIP, SocketAddress } from 'node:net';
import { Injectable } from '@nestjs/common';
import { Config } from '../config/config.js';

/**
 * An address as it is compared and stored, one text for one address: IPv4-mapped IPv6 becomes IPv4, a zone is
 * dropped, IPv6 is in its shortest form (RFC 5952). Undefined for what is no address.
 */
export function normaliseAddress(address: string): string | undefined {
  const withoutZone = (address.split('%')[0] ?? '').trim();
  const family = isIP(withoutZone);
  if (family !== 6) return family === 4 ? withoutZone : undefined;
  const canonical = new SocketAddress({ address: withoutZone, family: 'ipv6' }).address;
  return /^::ffff:(\d+\.\d+\.\d+\.\d+)$/.exec(canonical)?.[1] ?? canonical;
}

/** Compiles addresses and CIDR blocks, IPv4 or IPv6, into a list that can be asked. */
export function addressList(entries: readonly string[]): BlockList {
  const list = new BlockList();
  for (const entry of entries) {
    const [address = '', bits] = entry.split('/');
    const family = isIP(address) === 6 ? 'ipv6' : 'ipv4';
    if (bits === undefined) list.addAddress(address, family);
    else list.addSubnet(address, Number(bits), family);
  }
  return list;
}

/** True when a normalised address is on the list. */
export function isListed(list: BlockList, address: string): boolean {
  return list.check(address, isIP(address) === 6 ? 'ipv6' : 'ipv4');
}

/**
 * The address of the caller: the peer of the connection, or, when that is a trusted proxy, the right-most
 * address of `X-Forwarded-For` that is not one. No other header is ever believed.
 * Undefined when a trusted proxy forwarded something that is no address.
 */
export function clientAddress(
  peer: string | undefined,
  forwardedFor: string | undefined,
  trustedProxies: BlockList,
): string | undefined {
  const hops = [...(forwardedFor ?? '').split(',').filter((hop) => hop.trim() !== ''), peer ?? ''];
  let client: string | undefined;
  for (const hop of hops.toReversed()) {
    client = normaliseAddress(hop);
    if (client === undefined || !isListed(trustedProxies, client)) return client;
  }
  return client;
}

/** Finds the address of a caller, believing the proxies that the configuration trusts. */
@Injectable()
export class ClientAddresses {
  readonly #trustedProxies: BlockList;

  constructor(config: Config) {
    this.#trustedProxies = addressList(config.trustedProxies);
  }

  of({ socket, headers }: IncomingMessage): string | undefined {
    return clientAddress(socket.remoteAddress, headers['x-forwarded-for']?.toString(), this.#trustedProxies);
  }
}
