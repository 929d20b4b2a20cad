import { Injectable } from '@nestjs/common';
import { LRUCache } from 'lru-cache';
import { Clock } from '../common/clock.js';
import { ChangeFeed } from '../change-feed/change-feed.service.js';
import { Evictions } from '../change-feed/evictions.js';
import type { Principal } from './principal.js';
import { expiryOf, fingerprint } from './verified-token-cache.js';

interface CachedPrincipal {
  readonly principal: Principal;
  readonly expiresAtMs: number;
  /** Where the evictions stood when the session was read. */
  readonly position: number;
}

const MOST_TOKENS = 10_000;
const NO_API_KEY = 0;

/**
 * Principals of access tokens that were proved before, for the data plane. An entry ends with its token or its
 * session, whichever is first, and with any change of its user in the change feed: an ended session, a removed permission, a
 * disabled user.
 */
@Injectable()
export class AccessTokenCache {
  readonly #principals = new LRUCache<string, CachedPrincipal>({ max: MOST_TOKENS });
  readonly #evictions = new Evictions();

  constructor(
    private readonly feed: ChangeFeed,
    private readonly clock: Clock,
  ) {
    feed.subscribe((changes) => this.#evictions.apply(changes));
  }

  /** Where the evictions stand; take it before a token is proved. */
  get position(): number {
    return this.#evictions.position;
  }

  /**
   * Undefined for a token that was not proved yet.
   * @throws AppError `service.unavailable` when memory is too old; the database would not answer either
   */
  find(token: string): Principal | undefined {
    this.feed.requireFresh();
    const cached = this.#principals.get(fingerprint(token));
    if (cached === undefined || cached.expiresAtMs <= this.clock.nowMs()) return undefined;
    const { principal, position } = cached;
    return this.#evictions.isCurrent(position, NO_API_KEY, principal.userId) ? principal : undefined;
  }

  /** Keeps the principal of a token whose signature and session were just proved. */
  keep(token: string, principal: Principal, position: number): void {
    const { credential } = principal;
    const sessionEndsAtMs = credential.kind === 'session' ? credential.expiresAtMs : Infinity;
    const expiresAtMs = Math.min(expiryOf(token), sessionEndsAtMs);
    this.#principals.set(fingerprint(token), { principal, position, expiresAtMs });
  }
}
