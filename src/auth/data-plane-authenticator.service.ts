import { type ExecutionContext, Injectable } from '@nestjs/common';
import type { FastifyRequest } from 'fastify';
import { AppError } from '../common/app-error.js';
import { Config } from '../config/config.js';
import { ClientAddresses } from '../http/client-address.service.js';
import { AccessTokenCache } from './access-token-cache.service.js';
import { ApiKeyAuthenticator } from './api-key-authenticator.js';
import { presentedCredential } from './credentials.js';
import { AccessTokenAuthenticator } from './access-token-authenticator.service.js';
import type { Principal } from './principal.js';

/** Finds out who calls the data plane: from memory where that is fresh, so at once for a caller seen before. */
@Injectable()
export class DataPlaneAuthenticator {
  readonly #apiKeyPrefixes: readonly string[];

  constructor(
    config: Config,
    private readonly apiKeys: ApiKeyAuthenticator,
    private readonly accessTokens: AccessTokenAuthenticator,
    private readonly cache: AccessTokenCache,
    private readonly addresses: ClientAddresses,
  ) {
    this.#apiKeyPrefixes = config.apiKeyPrefixes;
  }

  /** How many batches of changes the caches have applied: while it is the same, so is what they say of a caller. */
  get position(): number {
    return this.cache.position;
  }

  /** @throws AppError `auth.*`, `service.unavailable` */
  authenticate(request: FastifyRequest, context: ExecutionContext): Principal | Promise<Principal> {
    const credential = presentedCredential(request.headers, this.#apiKeyPrefixes);
    if (credential.kind === 'access_token') return this.#byAccessToken(credential.token, context);
    const found = this.apiKeys.authenticateFromMemory(credential.secret, () =>
      this.addresses.of(request.raw),
    );
    return found instanceof Promise ? found.then(requireValid) : requireValid(found);
  }

  #byAccessToken(token: string, context: ExecutionContext): Principal | Promise<Principal> {
    return this.cache.find(token) ?? this.#prove(token, context);
  }

  async #prove(token: string, context: ExecutionContext): Promise<Principal> {
    const { position } = this.cache;
    const principal = await this.accessTokens.authenticate(token, context);
    this.cache.keep(token, principal, position);
    return principal;
  }
}

function requireValid(principal: Principal | undefined): Principal {
  if (principal === undefined) throw new AppError('auth.credential_invalid', 'The API key is not valid.');
  return principal;
}
