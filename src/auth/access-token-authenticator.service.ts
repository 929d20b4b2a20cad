import { type ExecutionContext, Injectable } from '@nestjs/common';
import { AppError } from '../common/app-error.js';
import { Clock } from '../common/clock.js';
import { ChangeFeed } from '../change-feed/change-feed.service.js';
import { FreshCache } from '../change-feed/fresh-cache.js';
import { AccessTokenGuard } from './jwt.strategy.js';
import type { Principal } from './principal.js';
import { expiryOf, fingerprint, VerifiedTokenCache } from './verified-token-cache.js';
import { SessionPrincipals } from './session-principals.queries.js';

interface LivePrincipal {
  readonly principal: Principal;
  /** The end of its token or of its session, whichever is first. */
  readonly endsAtMs: number;
}

const MOST_TOKENS = 10_000;

/**
 * Finds the principal of an access token. A token is verified once; its session and user are read every time, or remembered
 * while fresh.
 */
@Injectable()
export class AccessTokenAuthenticator {
  readonly #verified = new VerifiedTokenCache();
  /** An ended session, a removed permission, a disabled user: each is a change of the user. */
  readonly #live: FreshCache<LivePrincipal>;

  constructor(
    private readonly tokens: AccessTokenGuard,
    private readonly principals: SessionPrincipals,
    private readonly feed: ChangeFeed,
    private readonly clock: Clock,
  ) {
    this.#live = new FreshCache(feed, { mostValues: MOST_TOKENS }, ({ principal }, evictions, position) =>
      evictions.isCurrent(position, 'user', principal.userId),
    );
  }

  /** `token` is the one that the request presents. @throws AppError `auth.credential_invalid` */
  async authenticate(token: string, context: ExecutionContext): Promise<Principal> {
    const verified = this.#verified.find(token);
    if (verified === undefined) return this.#verify(token, context);
    const principal = await this.principals.find(verified.sessionId, String(verified.userId));
    return requireLive(principal);
  }

  /**
   * The same from memory, within the bound of the change feed; at once when it is there.
   * @throws AppError `auth.credential_invalid`, and `service.unavailable` when memory is too old: the database would not answer either
   */
  authenticateFromMemory(token: string, context: ExecutionContext): Principal | Promise<Principal> {
    const key = fingerprint(token);
    const live = this.#live.find(key);
    if (live !== undefined && live.endsAtMs > this.clock.nowMs()) return live.principal;
    this.feed.requireFresh();
    const { position } = this.#live;
    return this.authenticate(token, context).then((principal) => {
      this.#live.keep(key, { principal, endsAtMs: endOf(principal, token) }, position);
      return principal;
    });
  }

  /** The principal by now of a token that this request presented and that was verified as it came in. */
  async authenticateDuringChange(token: string, { userId, credential }: Principal): Promise<Principal> {
    const isExpired = expiryOf(token) <= Date.now();
    if (credential.kind !== 'session' || isExpired) return requireLive(undefined);
    return requireLive(await this.principals.findDuringChange(credential.sessionId, String(userId)));
  }

  /** The principal by now of a session whose access token was verified earlier. @throws AppError `auth.credential_invalid` */
  async authenticateSession({ userId, credential }: Principal): Promise<Principal> {
    if (credential.kind !== 'session') return requireLive(undefined);
    return requireLive(await this.principals.find(credential.sessionId, String(userId)));
  }

  async #verify(token: string, context: ExecutionContext): Promise<Principal> {
    const principal = await this.tokens.authenticate(context);
    const { userId, credential } = principal;
    if (credential.kind === 'session') this.#verified.keep(token, userId, credential.sessionId);
    return principal;
  }
}

function endOf({ credential }: Principal, token: string): number {
  return Math.min(expiryOf(token), credential.kind === 'session' ? credential.expiresAtMs : Infinity);
}

function requireLive(principal: Principal | undefined): Principal {
  if (principal === undefined) {
    throw new AppError('auth.credential_invalid', 'The access token is not valid, has expired or was ended.');
  }
  return principal;
}
