import { Injectable } from '@nestjs/common';
import type { Principal } from '../auth/principal.js';
import { type OwnedThing, requireIn } from '../auth/scope.policy.js';
import { BudgetLimits } from '../budgets/budget-limits.queries.js';
import { AppError, validationFailed } from '../common/app-error.js';
import { Clock } from '../common/clock.js';
import { nameOrganization } from '../context/request-context.js';
import { Change } from '../events/change.decorator.js';
import { EventPublisher } from '../events/event-publisher.service.js';
import type { ApiKeyCore, ApiKeyRecord, OwnerKind } from './api-key.js';
import { ApiKeyLineage } from './api-key-lineage.service.js';
import { ApiKeyPlaces } from './api-key-places.queries.js';
import { ApiKeysStore } from './api-keys.queries.js';
import { requireKeyHeld } from './key-authority.policy.js';
import { KeyPolicies } from './key-policies.service.js';
import { KeyOwners } from './key-owners.queries.js';
import { requireExpected } from './locked-api-keys.queries.js';
import { apiKeyNotFound, requireFound } from './replays.service.js';
import { type TransferRequest, transferErrors } from './transfer.policy.js';

/** Gives keys to other owners. */
@Injectable()
export class TransfersService {
  constructor(
    private readonly store: ApiKeysStore,
    private readonly places: ApiKeyPlaces,
    private readonly owners: KeyOwners,
    private readonly lineage: ApiKeyLineage,
    private readonly policies: KeyPolicies,
    private readonly budgets: BudgetLimits,
    private readonly events: EventPublisher,
    private readonly clock: Clock,
  ) {}

  /**
   * Gives a key, with all that it created, to a person or a service account. Secret, limits, budget and history stay, and
   * whether it is active. Idempotent.
   * @throws AppError `validation.failed`, `permission.denied`, `api_key.not_found`, `api_key.version_mismatch`,
   * `api_key.has_parent`, `project.not_found`, `project.inactive`, `user.not_found`, `service_account.*`, `policy.too_many_keys`
   */
  @Change()
  async transfer(
    principal: Principal,
    apiKeyId: number,
    request: TransferRequest,
    expectedVersions?: readonly number[],
  ): Promise<ApiKeyRecord> {
    const errors = transferErrors(request);
    if (errors.length > 0) throw validationFailed(errors);
    await this.lineage.requireUnbound(principal);
    const apiKey = requireFound(await this.store.lock(apiKeyId));
    requireIn(principal, apiKey, 'platform:api-keys:update', apiKeyNotFound);
    requireExpected(apiKey, expectedVersions);
    if (apiKey.parentKeyId !== null) throw hasParent(apiKey.parentKeyId);
    const owner = await this.#lockOwner(principal, apiKey, request);
    requireKeyHeld(principal, owner, apiKey.scopes);
    const before = { user_id: apiKey.userId, project_id: apiKey.projectId };
    const after = { user_id: owner.userId, project_id: owner.projectId };
    const isChanged = before.user_id !== after.user_id || before.project_id !== after.project_id;
    if (isChanged) {
      const now = this.clock.now();
      await this.policies.requireTransferable(apiKey, owner, now);
      await this.store.transfer(apiKeyId, owner, now);
      await this.budgets.placeApiKey(apiKeyId);
    }
    const { organizationId, name } = apiKey;
    nameOrganization(organizationId);
    await this.events.change('api_key.transferred', {
      organizationId,
      apiKeyId,
      name,
      beforeValues: isChanged ? before : {},
      afterValues: isChanged ? after : {},
    });
    return requireFound(await this.store.read(apiKeyId));
  }

  async #lockOwner(
    principal: Principal,
    apiKey: ApiKeyCore,
    { userId, serviceAccountId, projectId }: TransferRequest,
  ): Promise<OwnedThing & { readonly ownerKind: OwnerKind }> {
    if (serviceAccountId !== undefined) {
      const account = await this.owners.lockServiceAccount(principal, serviceAccountId, projectId);
      await this.places.lock(principal, account.projectId, undefined);
      return { ...account, ownerKind: 'service' };
    }
    const place = await this.places.lock(principal, projectId ?? apiKey.projectId, undefined);
    const personId = userId ?? apiKey.userId;
    await this.owners.lockPerson(personId, place);
    return { ...place, userId: personId, ownerKind: 'person' };
  }
}

function hasParent(parentKeyId: number): AppError {
  const detail = `The API key was created by API key ${parentKeyId}, and goes where that goes.`;
  return new AppError('api_key.has_parent', detail);
}
