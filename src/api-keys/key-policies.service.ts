import { Injectable } from '@nestjs/common';
import { TransactionHost } from '@nestjs-cls/transactional';
import type { TransactionalAdapterTypeOrm } from '@nestjs-cls/transactional-adapter-typeorm';
import type { OwnedThing } from '../auth/scope.policy.js';
import { AppError, validationFailed } from '../common/app-error.js';
import { runPrepared } from '../database/prepared-statement.js';
import { type KeyRules, toKeyRules } from '../organizations/key-rules.js';
import {
  defaultExpiry,
  type EffectiveRules,
  narrowed,
  violationsOf,
} from '../organizations/key-rules.policy.js';
import type { ApiKeyCore, ApiKeyPolicy, OwnerKind } from './api-key.js';
import { type FieldName, wireNameOf } from './api-key.fields.js';

type StoredRules = Partial<KeyRules> | null;

interface RulesRow {
  readonly owner_kind: OwnerKind;
  readonly secret_created_at: Date | null;
  readonly of_organization: StoredRules;
  readonly of_project: StoredRules;
}

const READ_RULES = {
  name: 'read_rules_of_api_key',
  text: `
    SELECT (SELECT kind FROM users WHERE id = $3) AS owner_kind,
      (SELECT created_at FROM api_key_secrets WHERE api_key_id = $4 AND retires_at IS NULL) AS secret_created_at,
      (SELECT rules FROM policies WHERE organization_id = $1 AND project_id IS NULL) AS of_organization,
      (SELECT rules FROM policies WHERE project_id = $2) AS of_project`,
};

// Creates and activations under such a rule take turns: each counts what the ones before have committed.
const LOCK_COUNTED = {
  name: 'lock_policies_that_count',
  text: `
    SELECT project_id, rules FROM policies
    WHERE organization_id = $1 AND (project_id IS NULL OR project_id = $2)
      AND rules ?| ARRAY['max_keys', 'max_keys_per_member']
    ORDER BY project_id NULLS FIRST FOR NO KEY UPDATE`,
};

/** Counts no further than the rule asks for. */
const COUNT_KEYS = {
  name: 'count_switched_on_api_keys',
  text: `
    SELECT count(*)::integer AS count FROM (
      SELECT FROM api_keys
      WHERE organization_id = $1 AND ($2::bigint IS NULL OR project_id = $2) AND ($3::bigint IS NULL OR user_id = $3)
        AND id <> $4 AND is_active AND deleted_at IS NULL
      LIMIT $5
    ) AS counted`,
};

/** No key has this id. */
const NO_KEY = 0;

/** A key with the policies that bind it. */
export interface BoundKey extends OwnedThing {
  /** `NO_KEY` before it is stored. */
  readonly id: number;
  readonly createdAt: Date;
  readonly ownerKind: OwnerKind;
  readonly secretCreatedAt: Date;
  readonly effective: EffectiveRules;
}

/** What the policies of an organization and its project ask of a key that is changed. Every method is part of the caller's transaction. */
@Injectable()
export class KeyPolicies {
  constructor(private readonly transactions: TransactionHost<TransactionalAdapterTypeOrm>) {}

  /** What binds a key that is about to be created, with a new secret. */
  async ofNew(thing: OwnedThing, now: Date): Promise<BoundKey> {
    const { userId, organizationId, projectId } = thing;
    return this.#bound({ id: NO_KEY, createdAt: now, userId, organizationId, projectId }, now);
  }

  /** What binds a key; of a locked one, at this moment. */
  async of({ id, createdAt, userId, organizationId, projectId }: ApiKeyCore): Promise<BoundKey> {
    return this.#bound({ id, createdAt, userId, organizationId, projectId }, createdAt);
  }

  /** The expiry of a new key that says nothing of it; null for none. */
  defaultExpiry({ effective, createdAt }: BoundKey): Date | null {
    return defaultExpiry(effective, createdAt);
  }

  /** For a new key. @throws AppError `validation.failed`, `policy.too_many_keys` */
  async requireCreatable(bound: BoundKey, policy: ApiKeyPolicy): Promise<void> {
    this.#requireObeyed(bound, policy, bound.createdAt);
    await this.#requireRoom(bound);
  }

  /**
   * For a change of fields; one that switches the key on is judged as a whole.
   * @throws AppError `validation.failed`, `policy.too_many_keys`
   */
  async requireChangeable(
    apiKey: ApiKeyCore,
    policy: ApiKeyPolicy,
    changed: readonly FieldName[],
    now: Date,
  ): Promise<void> {
    if (changed.length === 0) return;
    if (policy.isActive && !apiKey.isActive) return this.requireActivatable({ ...apiKey, ...policy }, now);
    this.#requireObeyed(await this.of(apiKey), policy, now, changed);
  }

  /** For one that is to be switched on. @throws AppError `validation.failed`, `policy.too_many_keys` */
  async requireActivatable(apiKey: ApiKeyCore, now: Date): Promise<void> {
    const bound = await this.of(apiKey);
    this.#requireObeyed(bound, apiKey, now);
    await this.#requireRoom(bound);
  }

  /** For an active one that is to go to another owner or project. @throws AppError `validation.failed`, `policy.too_many_keys` */
  async requireTransferable(apiKey: ApiKeyCore, owner: OwnedThing, now: Date): Promise<void> {
    const { id, createdAt, isActive } = apiKey;
    if (!isActive) return;
    const { userId, organizationId, projectId } = owner;
    const bound = await this.#bound({ id, createdAt, userId, organizationId, projectId }, createdAt);
    this.#requireObeyed(bound, apiKey, now);
    await this.#requireRoom(bound);
  }

  /** For one that gets a new secret. @throws AppError `validation.failed` */
  async requireRegenerable(apiKey: ApiKeyCore, now: Date): Promise<void> {
    this.#requireObeyed({ ...(await this.of(apiKey)), secretCreatedAt: now }, apiKey, now);
  }

  #requireObeyed(bound: BoundKey, policy: ApiKeyPolicy, now: Date, changed?: readonly FieldName[]): void {
    const { createdAt, ownerKind, secretCreatedAt, effective } = bound;
    const key = { ...policy, createdAt, ownerKind, secretCreatedAt };
    const violations = violationsOf(effective, key, now.getTime(), changed?.map(wireNameOf));
    if (violations.length > 0)
      throw validationFailed(violations.map(({ field, message }) => ({ field, message })));
  }

  async #requireRoom({
    id,
    userId,
    ownerKind,
    organizationId,
    projectId,
    effective,
  }: BoundKey): Promise<void> {
    if (effective.every(({ rules }) => rules.max_keys === null && rules.max_keys_per_member === null)) return;
    const locked = await runPrepared<{ project_id: number | null; rules: StoredRules }>(
      this.transactions.tx,
      LOCK_COUNTED,
      [organizationId, projectId],
    );
    for (const { project_id, rules } of locked) {
      const { max_keys: most, max_keys_per_member: mostOfMember } = toKeyRules(rules);
      const place = project_id === null ? 'organization' : 'project';
      if (most !== null && (await this.#count([organizationId, project_id, null, id, most])) >= most)
        throw tooMany(`The policy of the ${place} allows ${most} active API keys`, 'max_keys');
      const isMember = mostOfMember !== null && ownerKind === 'person';
      if (
        isMember &&
        (await this.#count([organizationId, project_id, userId, id, mostOfMember])) >= mostOfMember
      )
        throw tooMany(
          `The policy of the ${place} allows ${mostOfMember} active API keys of a member`,
          'max_keys_per_member',
        );
    }
  }

  async #count(values: unknown[]): Promise<number> {
    const [row] = await runPrepared<{ count: number }>(this.transactions.tx, COUNT_KEYS, values);
    return row?.count ?? 0;
  }

  async #bound(
    thing: OwnedThing & Pick<ApiKeyCore, 'id' | 'createdAt'>,
    secretCreatedAt: Date,
  ): Promise<BoundKey> {
    const { id, userId, organizationId, projectId } = thing;
    const values = [organizationId, projectId, userId, id];
    const [row] = await runPrepared<RulesRow>(this.transactions.tx, READ_RULES, values);
    return {
      ...thing,
      ownerKind: row?.owner_kind ?? 'person',
      secretCreatedAt: row?.secret_created_at ?? secretCreatedAt,
      effective: narrowed(rulesOf(row?.of_organization), rulesOf(row?.of_project)),
    };
  }
}

function rulesOf(stored: StoredRules | undefined): KeyRules | null {
  return stored === null || stored === undefined ? null : toKeyRules(stored);
}

function tooMany(detail: string, rule: string): AppError {
  return new AppError('policy.too_many_keys', `${detail} (${rule}).`);
}
