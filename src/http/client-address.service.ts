import type { IncomingMessage } from 'node:http';
import { Injectable, Logger } from '@nestjs/common';
import { AddressBlocks, normalizeAddress } from '../common/ip-address.js';
import { Config } from '../config/config.js';

/**
 * The address of the caller: the peer of the connection, or, when that is a trusted proxy, the right-most
 * address of `X-Forwarded-For` that is not one. No other header is used. An entry may have a port.
 * Where a trusted proxy forwarded something that is no address, the result is that proxy's own address, and
 * `noteUnreadable` is called with the entry: callers behind different proxies must not share one address, or have none.
 */
export function clientAddress(
  peer: string | undefined,
  forwardedFor: string | undefined,
  trustedProxies: AddressBlocks,
  noteUnreadable: (entry: string) => void = () => undefined,
): string | undefined {
  let client = normalizeAddress(peer ?? '');
  let end = forwardedFor?.length ?? 0;
  while (end > 0 && client !== undefined && trustedProxies.has(client)) {
    const begin = (forwardedFor ?? '').lastIndexOf(',', end - 1);
    const entry = (forwardedFor ?? '').slice(begin + 1, end).trim();
    end = begin;
    if (entry === '') continue;
    const address = normalizeAddress(withoutPort(entry));
    if (address === undefined) {
      noteUnreadable(entry);
      break;
    }
    client = address;
  }
  return client;
}

const BRACKETED = /^\[([\da-f:.]+(?:%[\w.-]+)?)\](?::\d{1,5})?$/i;
const WITH_PORT = /^(\d{1,3}(?:\.\d{1,3}){3}):\d{1,5}$/;

/** `192.0.2.1:80`, `[2001:db8::1]:80` and `[2001:db8::1]`, as some proxies write addresses: the address alone. */
function withoutPort(entry: string): string {
  const first = entry.charCodeAt(0);
  const match = first === OPENING_BRACKET ? BRACKETED.exec(entry) : WITH_PORT.exec(entry);
  return match?.[1] ?? entry;
}

const OPENING_BRACKET = 91;
const WARNING_INTERVAL_MS = 60_000;
const LONGEST_SHOWN = 64;

/** Finds the address of a caller, with the proxies that the configuration trusts. */
@Injectable()
export class ClientAddresses {
  readonly #logger = new Logger(ClientAddresses.name);
  readonly #trustedProxies: AddressBlocks;
  readonly #trustsNobody: boolean;
  #unreadable = 0;
  #warnedAtMs = Number.NEGATIVE_INFINITY;

  constructor(config: Config) {
    this.#trustedProxies = new AddressBlocks(config.trustedProxies);
    this.#trustsNobody = config.trustedProxies.length === 0;
  }

  of({ socket, headers }: IncomingMessage): string | undefined {
    const forwardedFor = this.#trustsNobody ? undefined : headers['x-forwarded-for']?.toString();
    return clientAddress(socket.remoteAddress, forwardedFor, this.#trustedProxies, (entry) =>
      this.#warnOf(entry),
    );
  }

  /** Once a minute: such a proxy does it with every request. */
  #warnOf(entry: string): void {
    this.#unreadable += 1;
    const nowMs = performance.now();
    if (nowMs - this.#warnedAtMs < WARNING_INTERVAL_MS) return;
    // No control character of any kind: the log may be read on a terminal.
    const shown = JSON.stringify(entry.slice(0, LONGEST_SHOWN).replaceAll(/[^ -~]/g, '?'));
    this.#logger.warn(
      `A trusted proxy forwarded ${shown} in X-Forwarded-For, which is no address; the proxy's own is used ` +
        `(${this.#unreadable} such requests since the last warning).`,
    );
    this.#warnedAtMs = nowMs;
    this.#unreadable = 0;
  }
}
