import { Injectable } from '@nestjs/common';
import { platformScopes } from '../auth/access.policy.js';
import type { Principal } from '../auth/principal.js';
import { isOwnerOf, requireHeldIn, requireOwnerOrIn } from '../auth/scope.policy.js';
import { nameOrganization } from '../context/request-context.js';
import { Clock } from '../common/clock.js';
import type { ApiKeyCore, ApiKeyPolicy } from './api-key.js';
import { nextVersion } from '../common/version.js';
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
    if (!isOwnerOf(principal, apiKey)) requireHeldIn(principal, apiKey, platformScopes(apiKey.scopes));
    return apiKey;
  }

  /** Makes the next version of a locked key. */
  async save(apiKey: ApiKeyCore, values: Partial<ApiKeyPolicy & { keyPrefix: string }>): Promise<void> {
    const version = nextVersion(apiKey.version);
    await this.store.save({ ...apiKey, ...values, version, updatedAt: this.clock.now() });
  }
}
