import { Injectable } from '@nestjs/common';
import type { Principal } from '../auth/principal.js';
import { isOwnerOf, requireOwnerOrIn } from '../auth/scope.policy.js';
import { nameOrganization } from '../context/request-context.js';
import { AppError } from '../common/app-error.js';
import { Clock } from '../common/clock.js';
import type { ApiKeyCore, ApiKeyPolicy } from './api-key.js';
import { nextVersion } from '../common/version.js';
import { requireKeyHeld } from './key-authority.policy.js';
import { ApiKeysStore } from './api-keys.queries.js';
import { apiKeyNotFound, requireFound } from './replays.service.js';

/** Keys that a change has locked and may change. Every method is part of the caller's transaction. */
@Injectable()
export class LockedApiKeys {
  constructor(
    private readonly store: ApiKeysStore,
    private readonly clock: Clock,
  ) {}

  /** For the owner, or with the permission of the action. @throws AppError `api_key.not_found`, `permission.denied` */
  async forAction(principal: Principal, apiKeyId: number, action: 'update' | 'delete'): Promise<ApiKeyCore> {
    const apiKey = requireFound(await this.store.lock(apiKeyId));
    requireOwnerOrIn(principal, apiKey, `platform:api-keys:${action}`, apiKeyNotFound);
    nameOrganization(apiKey.organizationId);
    return apiKey;
  }

  /**
   * For a change that could reactivate the key or give it a new secret: unless the caller owns it, they must also hold
   * the permissions among its scopes.
   */
  async forUpdate(principal: Principal, apiKeyId: number): Promise<ApiKeyCore> {
    const apiKey = await this.forAction(principal, apiKeyId, 'update');
    if (!isOwnerOf(principal, apiKey)) requireKeyHeld(principal, apiKey, apiKey.scopes);
    return apiKey;
  }

  /** Makes the next version of a locked key. */
  async save(apiKey: ApiKeyCore, values: Partial<ApiKeyPolicy & { keyPrefix: string }>): Promise<void> {
    const version = nextVersion(apiKey.version);
    await this.store.save({ ...apiKey, ...values, version, updatedAt: this.clock.now() });
  }
}

/** @throws AppError `api_key.version_mismatch` unless the caller is willing to change the key as it stands */
export function requireExpected({ version }: ApiKeyCore, expected: readonly number[] | undefined): void {
  if (expected?.includes(version) === false) {
    throw new AppError(
      'api_key.version_mismatch',
      'The API key has changed since it was read; read it again.',
    );
  }
}
