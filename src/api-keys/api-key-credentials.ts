import { Injectable } from '@nestjs/common';
import type { ApiKeyAuthenticator } from '../auth/api-key-authenticator.js';
import type { KeyVersion, Principal } from '../auth/principal.js';
import { Clock } from '../common/clock.js';
import type { Secret } from '../common/secret.js';
import type { KeyRestrictions, KeySnapshot } from './snapshot.js';
import { Snapshots } from './snapshots.js';

/** Turns an API key used as a credential into its owner, limited to what both the owner and the scopes allow. */
@Injectable()
export class ApiKeyCredentials implements ApiKeyAuthenticator {
  readonly #principals = new WeakMap<KeySnapshot, Principal>();

  constructor(
    private readonly snapshots: Snapshots,
    private readonly clock: Clock,
  ) {}

  async authenticate(secret: Secret, clientAddress: string | undefined): Promise<Principal | undefined> {
    const nowMs = this.clock.nowMs();
    const snapshot = await this.snapshots.findFresh(secret.reveal(), nowMs);
    return this.#principalOf(snapshot, () => clientAddress, nowMs);
  }

  authenticateFromMemory(
    secret: Secret,
    clientAddress: () => string | undefined,
  ): Principal | undefined | Promise<Principal | undefined> {
    const nowMs = this.clock.nowMs();
    const found = this.snapshots.find(secret.reveal(), nowMs);
    const judge = (snapshot: KeySnapshot | undefined) => this.#principalOf(snapshot, clientAddress, nowMs);
    return found instanceof Promise ? found.then(judge) : judge(found);
  }

  #principalOf(
    snapshot: KeySnapshot | undefined,
    clientAddress: () => string | undefined,
    nowMs: number,
  ): Principal | undefined {
    if (snapshot === undefined || !isUsable(snapshot, clientAddress, nowMs)) return undefined;
    let principal = this.#principals.get(snapshot);
    if (principal === undefined) {
      const { userId, username, role, permissions, apiKeyId, retiresAtMs } = snapshot;
      const line = (snapshot.line ?? [snapshot]).map(versionOf);
      const isRetiring = Number.isFinite(retiresAtMs);
      const credential = { kind: 'api_key', apiKeyId, isRetiring, line } as const;
      principal = { userId, username, role, permissions, credential };
      this.#principals.set(snapshot, principal);
    }
    return principal;
  }
}

function versionOf({ apiKeyId, version }: KeyRestrictions): KeyVersion {
  return { apiKeyId, version };
}

/** A credential is judged like any key: state, owner, expiry, address. An unknown address is not an allowed one. */
function isUsable(snapshot: KeySnapshot, clientAddress: () => string | undefined, nowMs: number): boolean {
  const { isActive, isOwnerActive, expiresAtMs, addresses } = snapshot;
  if (!isActive || !isOwnerActive || expiresAtMs <= nowMs) return false;
  if (addresses === undefined) return true;
  const address = clientAddress();
  return address !== undefined && addresses.matches(address);
}
