import { Injectable } from '@nestjs/common';
import { TransactionHost } from '@nestjs-cls/transactional';
import type { TransactionalAdapterTypeOrm } from '@nestjs-cls/transactional-adapter-typeorm';
import type { Principal } from '../auth/principal.js';
import type { OwnedThing, Scope } from '../auth/scope.policy.js';
import { BudgetLimits } from '../budgets/budget-limits.queries.js';
import { AppError, validationFailed } from '../common/app-error.js';
import { Clock } from '../common/clock.js';
import { MICRO_CENTS_PER_CENT } from '../common/money.js';
import { Change } from '../events/change.decorator.js';
import { EventPublisher } from '../events/event-publisher.service.js';
import { type ApiKeyChanges, type ApiKeyPolicy, type ApiKeyRecord, wireValues } from './api-key.js';
import { ApiKey } from './api-key.entity.js';
import { fieldOf } from './api-key.fields.js';
import { type MergedPolicy, mergePolicy } from './api-key.policy.js';
import { ApiKeyLineage } from './api-key-lineage.service.js';
import { ApiKeyPlaces } from './api-key-places.queries.js';
import { ApiKeySecrets, currentSecret } from './api-key-secrets.queries.js';
import { ApiKeysStore } from './api-keys.queries.js';
import { initialPolicy } from './lineage.policy.js';
import { Idempotency, type IdempotencyClaim } from './idempotency.service.js';
import { KeyPolicies } from './key-policies.service.js';
import { requireKeyHeld } from './key-authority.policy.js';
import { KeyOwners } from './key-owners.queries.js';
import { LockedApiKeys, requireExpected } from './locked-api-keys.queries.js';
import { type IssuedApiKey, Replays, requireFound } from './replays.service.js';

/** What a create asks for. */
export interface NewApiKeyRequest extends ApiKeyChanges {
  /** Where the key is to be; where nothing is said, in the default project, or for an API key in its own. */
  readonly projectId?: number | undefined;
  /** The service account that is to own it, instead of the caller. */
  readonly serviceAccountId?: number | undefined;
}

/** Changes of API keys. Each method is one transaction: load, decide, save, tell. */
@Injectable()
export class ApiKeysService {
  constructor(
    private readonly transactions: TransactionHost<TransactionalAdapterTypeOrm>,
    private readonly store: ApiKeysStore,
    private readonly places: ApiKeyPlaces,
    private readonly owners: KeyOwners,
    private readonly locked: LockedApiKeys,
    private readonly replays: Replays,
    private readonly secrets: ApiKeySecrets,
    private readonly lineage: ApiKeyLineage,
    private readonly policies: KeyPolicies,
    private readonly idempotency: Idempotency,
    private readonly budgets: BudgetLimits,
    private readonly events: EventPublisher,
    private readonly clock: Clock,
  ) {}

  /** @throws AppError `auth.credential_invalid`, `permission.denied`, `validation.failed`, `policy.too_many_keys`, `idempotency.*` */
  @Change()
  async create(
    principal: Principal,
    { projectId, serviceAccountId, ...input }: NewApiKeyRequest,
    claim?: IdempotencyClaim,
  ): Promise<IssuedApiKey> {
    const earlierId = claim && (await this.idempotency.earlier(claim));
    if (earlierId !== undefined) return this.replays.of(earlierId);
    const now = this.clock.now();
    const parents = await this.lineage.lockParents(principal, now);
    const account = await this.#serviceAccount(principal, serviceAccountId, projectId);
    const place = await this.places.lock(principal, account?.projectId ?? projectId, parents[0]);
    const userId = account?.userId ?? principal.userId;
    const wantedKind = account === undefined ? 'person' : 'service';
    requireKeyHeld(principal, { ...place, userId, ownerKind: wantedKind }, input.scopes ?? []);
    const bound = await this.policies.ofNew({ ...place, userId }, now);
    const initial = initialPolicy(parents);
    const expiresAt = initial.expiresAt ?? this.policies.defaultExpiry(bound);
    const { policy } = requireValid(mergePolicy({ ...initial, expiresAt }, input, now));
    this.lineage.requireWithin(parents, policy, input);
    await this.policies.requireCreatable(bound, policy);
    const fresh = this.secrets.generate();
    const { secret, keyPrefix } = fresh;
    const parentKeyId = parents[0]?.id ?? null;
    const values = { ...policy, ...place, userId, parentKeyId, keyPrefix, createdAt: now, updatedAt: now };
    const stored = await this.store.insert(values, fresh);
    if (stored === undefined)
      throw new AppError('auth.credential_invalid', 'The user of this credential was ended.');
    const { id, ownerKind } = stored;
    if (parentKeyId !== null) await this.budgets.setParentOfApiKey(id, parentKeyId);
    if (!policy.isUnlimited) await this.#setBudget(id, policy);
    if (claim !== undefined) await this.idempotency.remember(claim, id);
    await this.events.change('api_key.created', {
      apiKeyId: id,
      name: policy.name,
      scopes: policy.scopes,
      ...(account === undefined ? {} : { serviceAccountId: userId }),
    });
    const secrets = [currentSecret(fresh, now)];
    return {
      apiKey: {
        ...values,
        id,
        version: 1,
        ownerKind,
        inactiveReason: null,
        isOwnerActive: true,
        isScopeActive: true,
        ancestors: parents,
        secrets,
        totals: NO_USAGE,
      },
      secret,
    };
  }

  /**
   * Changes the fields present. `expectedVersions` are those that the caller is willing to change.
   * @throws AppError `api_key.not_found`, `permission.denied`, `api_key.version_mismatch`, `validation.failed`,
   * `policy.too_many_keys`
   */
  @Change()
  async update(
    principal: Principal,
    apiKeyId: number,
    changes: ApiKeyChanges,
    expectedVersions?: readonly number[],
  ): Promise<ApiKeyRecord> {
    const apiKey = await this.locked.forUpdate(principal, apiKeyId);
    requireExpected(apiKey, expectedVersions);
    const added = (changes.scopes ?? []).filter((scope) => !apiKey.scopes.includes(scope));
    requireKeyHeld(principal, apiKey, added);
    const now = this.clock.now();
    const { policy, changed } = requireValid(mergePolicy(apiKey, changes, now));
    await this.lineage.requireMayChange(principal, apiKey, policy);
    await this.lineage.requireWithinParents(apiKey, policy, changed);
    await this.policies.requireChangeable(apiKey, policy, changed, now);
    if (changed.length > 0) await this.locked.save(apiKey, policy);
    if (changed.some((field) => fieldOf(field).restriction === 'budget'))
      await this.#setBudget(apiKeyId, policy);
    const [beforeValues, afterValues] = [wireValues(apiKey, changed), wireValues(policy, changed)];
    await this.events.change('api_key.updated', { apiKeyId, beforeValues, afterValues });
    return requireFound(await this.store.read(apiKeyId));
  }

  /**
   * Idempotent.
   * @throws AppError `api_key.not_found`, `permission.denied`, `api_key.expired`, `validation.failed`, `policy.too_many_keys`
   */
  @Change()
  async activate(principal: Principal, apiKeyId: number): Promise<void> {
    const apiKey = await this.locked.forUpdate(principal, apiKeyId);
    await this.lineage.requireMayChange(principal, apiKey, { ...apiKey, isActive: true });
    const now = this.clock.now();
    await this.lineage.requireUnexpired(apiKey, now);
    if (!apiKey.isActive) {
      await this.policies.requireActivatable(apiKey, now);
      await this.locked.save(apiKey, { isActive: true });
    }
    await this.events.change('api_key.activated', { apiKeyId, name: apiKey.name });
  }

  /** Idempotent. @throws AppError `api_key.not_found`, `permission.denied` */
  @Change()
  async deactivate(principal: Principal, apiKeyId: number): Promise<void> {
    const apiKey = await this.locked.forAction(principal, apiKeyId, 'update');
    if (apiKey.isActive) await this.locked.save(apiKey, { isActive: false });
    await this.events.change('api_key.deactivated', { apiKeyId, name: apiKey.name });
  }

  /**
   * Ends the key, and what came from it; their usage and audit history stay.
   * @throws AppError `api_key.not_found`, `permission.denied`
   */
  @Change()
  async delete(principal: Principal, apiKeyId: number): Promise<void> {
    const { name } = await this.locked.forAction(principal, apiKeyId, 'delete');
    await this.#end(apiKeyId);
    await this.events.change('api_key.deleted', { apiKeyId, name });
    await this.lineage.endDescendants(apiKeyId, this.clock.now());
  }

  /** Ends every key of a user, a batch to a statement, as part of the transaction that ends the user. */
  @Change()
  async deleteAllOf(userId: number): Promise<void> {
    const endedAt = this.clock.now();
    for (let lastId = 0; ;) {
      const ended = await this.store.endSomeOf(userId, endedAt, lastId, ENDED_TOGETHER);
      if (ended.length === 0) return;
      const [apiKeyIds, names] = [ended.map(({ id }) => id), ended.map(({ name }) => name)];
      await this.events.change('api_keys.deleted', { apiKeyIds, names, reason: 'owner_deleted' });
      if (ended.length < ENDED_TOGETHER) return;
      lastId = apiKeyIds.at(-1) ?? lastId;
    }
  }

  /**
   * Deactivates the personal keys of a member who left a scope, a batch to a statement, as part of the transaction that ends
   * the membership.
   */
  @Change()
  async deactivateAllOf(userId: number, scope: Scope): Promise<void> {
    const now = this.clock.now();
    for (;;) {
      const ended = await this.store.deactivateSomeOf(userId, scope, now, ENDED_TOGETHER);
      if (ended.length === 0) return;
      const [apiKeyIds, names] = [ended.map(({ id }) => id), ended.map(({ name }) => name)];
      await this.events.change('api_keys.deactivated', { apiKeyIds, names, reason: 'owner_left' });
      if (ended.length < ENDED_TOGETHER) return;
    }
  }

  async #serviceAccount(
    principal: Principal,
    id: number | undefined,
    projectId: number | undefined,
  ): Promise<OwnedThing | undefined> {
    return id === undefined ? undefined : this.owners.lockServiceAccount(principal, id, projectId);
  }

  async #setBudget(apiKeyId: number, { budgetLimitCents, budgetType }: ApiKeyPolicy): Promise<void> {
    const limitMicroCents =
      budgetLimitCents === null ? null : BigInt(budgetLimitCents) * MICRO_CENTS_PER_CENT;
    await this.budgets.setOfApiKey(apiKeyId, { limitMicroCents, periodType: budgetType ?? 'total' });
  }

  async #end(apiKeyId: number): Promise<void> {
    const now = this.clock.now();
    await this.#manager.update(ApiKey, { id: apiKeyId }, { isActive: false, deletedAt: now, updatedAt: now });
    await this.secrets.deleteAll(apiKeyId);
  }

  get #manager() {
    return this.transactions.tx;
  }
}

/** Few enough that a batch blocks neither its connection nor this process for long. */
const ENDED_TOGETHER = 2_000;
const NO_USAGE = { requests: 0n, tokens: 0n, costMicroCents: 0n, lastUsedAt: null };

function requireValid(merged: MergedPolicy): Extract<MergedPolicy, { kind: 'merged' }> {
  if (merged.kind === 'invalid') throw validationFailed(merged.errors);
  return merged;
}
