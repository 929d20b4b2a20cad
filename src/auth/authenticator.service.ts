import { type ExecutionContext, Injectable } from '@nestjs/common';
import type { FastifyRequest } from 'fastify';
import { ChangeFeed } from '../change-feed/change-feed.service.js';
import { AppError } from '../common/app-error.js';
import { Config } from '../config/config.js';
import { ClientAddresses } from '../http/client-address.service.js';
import { AccessTokenAuthenticator } from './access-token-authenticator.service.js';
import { ApiKeyAuthenticator } from './api-key-authenticator.js';
import { presentedCredential } from './credentials.js';
import type { Principal } from './principal.js';

/** A caller as the database has it now. */
interface CallerFromDatabase {
  readonly principal: Principal;
  /** Reads the same caller once more, for use inside a change. @throws AppError as `fromDatabase` */
  readonly readAgain: () => Promise<Principal>;
  /** The same outside of one, whether or not the access token has expired meanwhile. @throws AppError as `fromDatabase` */
  readonly whileReading: () => Promise<Principal>;
}

/** Finds out who calls, by whichever credential a request presents. */
@Injectable()
export class Authenticator {
  readonly #apiKeyPrefixes: readonly string[];

  constructor(
    config: Config,
    private readonly apiKeys: ApiKeyAuthenticator,
    private readonly accessTokens: AccessTokenAuthenticator,
    private readonly feed: ChangeFeed,
    private readonly addresses: ClientAddresses,
  ) {
    this.#apiKeyPrefixes = config.apiKeyPrefixes;
  }

  /** How many batches of changes memory has applied: while it is the same, so is what `fromMemory` finds. */
  get position(): number {
    return this.feed.evictions.position;
  }

  /**
   * For the data plane: from memory while that is fresh, so at once for a caller seen before.
   * @throws AppError `auth.*`, `service.unavailable`
   */
  fromMemory(request: FastifyRequest, context: ExecutionContext): Principal | Promise<Principal> {
    const credential = presentedCredential(request.headers, this.#apiKeyPrefixes);
    if (credential.kind === 'access_token')
      return this.accessTokens.authenticateFromMemory(credential.token, context);
    const found = this.apiKeys.authenticateFromMemory(credential.secret, () =>
      this.addresses.of(request.raw),
    );
    return found instanceof Promise ? found.then(requireValid) : requireValid(found);
  }

  /** For the control plane: read from the database for this very request. @throws AppError `auth.*` */
  async fromDatabase(request: FastifyRequest, context: ExecutionContext): Promise<CallerFromDatabase> {
    const credential = presentedCredential(request.headers, this.#apiKeyPrefixes);
    if (credential.kind === 'access_token') {
      const { token } = credential;
      const principal = await this.accessTokens.authenticate(token, context);
      return {
        principal,
        readAgain: () => this.accessTokens.authenticateDuringChange(token, principal),
        whileReading: () => this.accessTokens.authenticateSession(principal),
      };
    }
    // Taken now: a connection that has closed names no address.
    const clientAddress = this.addresses.of(request.raw);
    const read = async () => requireValid(await this.apiKeys.authenticate(credential.secret, clientAddress));
    return { principal: await read(), readAgain: read, whileReading: read };
  }
}

function requireValid(principal: Principal | undefined): Principal {
  if (principal === undefined) throw new AppError('auth.credential_invalid', 'The API key is not valid.');
  return principal;
}
