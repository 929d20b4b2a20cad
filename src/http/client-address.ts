import type { IncomingMessage } from 'node:http';
import { Injectable } from '@nestjs/common';
import { AddressBlocks, normaliseAddress } from '../common/ip-address.js';
import { Config } from '../config/config.js';

/**
 * The address of the caller: the peer of the connection, or, when that is a trusted proxy, the right-most
 * address of `X-Forwarded-For` that is not one. No other header is ever believed.
 * Undefined when a trusted proxy forwarded something that is no address.
 */
export function clientAddress(
  peer: string | undefined,
  forwardedFor: string | undefined,
  trustedProxies: AddressBlocks,
): string | undefined {
  const hops = [...(forwardedFor ?? '').split(',').filter((hop) => hop.trim() !== ''), peer ?? ''];
  let client: string | undefined;
  for (const hop of hops.toReversed()) {
    client = normaliseAddress(hop);
    if (client === undefined || !trustedProxies.has(client)) return client;
  }
  return client;
}

/** Finds the address of a caller, believing the proxies that the configuration trusts. */
@Injectable()
export class ClientAddresses {
  readonly #trustedProxies: AddressBlocks;

  constructor(config: Config) {
    this.#trustedProxies = new AddressBlocks(config.trustedProxies);
  }

  of({ socket, headers }: IncomingMessage): string | undefined {
    return clientAddress(socket.remoteAddress, headers['x-forwarded-for']?.toString(), this.#trustedProxies);
  }
}
