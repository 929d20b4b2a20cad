import { Injectable } from '@nestjs/common';
import type { ApiKeyAuthenticator } from '../auth/api-key-authenticator.js';
import type { KeyVersion, Principal } from '../auth/principal.js';
import { Clock } from '../common/clock.js';
import type { Secret } from '../common/secret.js';
import type { KeyRestrictions, CachedKey } from './cached-key.js';
import { CachedKeys } from './cached-keys.service.js';

/** Turns an API key used as a credential into its owner, limited to what both the owner and the scopes allow. */
@Injectable()
export class ApiKeyCredentials implements ApiKeyAuthenticator {
  readonly #principals = new WeakMap<CachedKey, Principal>();

  constructor(
    private readonly cachedKeys: CachedKeys,
    private readonly clock: Clock,
  ) {}

  async authenticate(secret: Secret, clientAddress: string | undefined): Promise<Principal | undefined> {
    const nowMs = this.clock.nowMs();
    const cachedKey = await this.cachedKeys.findFresh(secret.reveal(), nowMs);
    return this.#principalOf(cachedKey, () => clientAddress, nowMs);
  }

  authenticateFromMemory(
    secret: Secret,
    clientAddress: () => string | undefined,
  ): Principal | undefined | Promise<Principal | undefined> {
    const nowMs = this.clock.nowMs();
    const found = this.cachedKeys.find(secret.reveal(), nowMs);
    const judge = (cachedKey: CachedKey | undefined) => this.#principalOf(cachedKey, clientAddress, nowMs);
    return found instanceof Promise ? found.then(judge) : judge(found);
  }

  #principalOf(
    cachedKey: CachedKey | undefined,
    clientAddress: () => string | undefined,
    nowMs: number,
  ): Principal | undefined {
    if (cachedKey === undefined || !isUsable(cachedKey, clientAddress, nowMs)) return undefined;
    let principal = this.#principals.get(cachedKey);
    if (principal === undefined) {
      const { userId, username, role, permissions, scoped, apiKeyId, retiresAtMs } = cachedKey;
      const line = (cachedKey.line ?? [cachedKey]).map(versionOf);
      const isRetiring = Number.isFinite(retiresAtMs);
      const credential = { kind: 'api_key', apiKeyId, isRetiring, line } as const;
      principal = { userId, username, role, permissions, scoped, credential };
      this.#principals.set(cachedKey, principal);
    }
    return principal;
  }
}

function versionOf({ apiKeyId, version }: KeyRestrictions): KeyVersion {
  return { apiKeyId, version };
}

/** A credential is judged like any key: state, owner, expiry, policies, address. An unknown address is not an allowed one. */
function isUsable(cachedKey: CachedKey, clientAddress: () => string | undefined, nowMs: number): boolean {
  const { isActive, isOwnerActive, isScopeActive, expiresAtMs, addresses, breaksPolicyFromMs } = cachedKey;
  if (!isActive || !isOwnerActive || !isScopeActive || expiresAtMs <= nowMs || breaksPolicyFromMs <= nowMs)
    return false;
  if (addresses === undefined) return true;
  const address = clientAddress();
  return address !== undefined && addresses.matches(address);
}
