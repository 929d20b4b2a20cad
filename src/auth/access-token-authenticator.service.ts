import { type ExecutionContext, Injectable } from '@nestjs/common';
import { AppError } from '../common/app-error.js';
import { AccessTokenGuard } from './jwt.strategy.js';
import type { Principal } from './principal.js';
import { expiryOf, VerifiedTokenCache } from './verified-token-cache.js';
import { SessionPrincipals } from './session-principals.queries.js';

/** Finds the principal of an access token: proves the token once, and reads its session and user every time. */
@Injectable()
export class AccessTokenAuthenticator {
  readonly #proven = new VerifiedTokenCache();

  constructor(
    private readonly tokens: AccessTokenGuard,
    private readonly principals: SessionPrincipals,
  ) {}

  /** `token` is the one that the request presents. @throws AppError `auth.credential_invalid` */
  async authenticate(token: string, context: ExecutionContext): Promise<Principal> {
    const proven = this.#proven.find(token);
    if (proven === undefined) return this.#prove(token, context);
    const principal = await this.principals.find(proven.sessionId, String(proven.userId));
    return requireLive(principal);
  }

  /** The principal by now of a token that this request presented and that was proved as it came in. */
  async authenticateDuringChange(token: string, { userId, credential }: Principal): Promise<Principal> {
    const isExpired = expiryOf(token) <= Date.now();
    if (credential.kind !== 'session' || isExpired) return requireLive(undefined);
    return requireLive(await this.principals.findDuringChange(credential.sessionId, String(userId)));
  }

  async #prove(token: string, context: ExecutionContext): Promise<Principal> {
    const principal = await this.tokens.authenticate(context);
    const { userId, credential } = principal;
    if (credential.kind === 'session') this.#proven.keep(token, userId, credential.sessionId);
    return principal;
  }
}

function requireLive(principal: Principal | undefined): Principal {
  if (principal === undefined) {
    throw new AppError('auth.credential_invalid', 'The access token is not valid, has expired or was ended.');
  }
  return principal;
}
