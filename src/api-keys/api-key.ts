import type { EventValue } from '../events/event-values.js';
import {
  type ApiKeyFields,
  FIELD_NAMES,
  type FieldName,
  type FieldValue,
  fieldOf,
  type ShownValue,
  wireNameOf,
} from './api-key.fields.js';

/** What a caller may set of a key. */
export type ApiKeyPolicy = { readonly [Name in FieldName]: FieldValue<Name> };

/** The fields a request wants changed. Absent ones are `undefined`, cleared ones `null`. */
export type ApiKeyChanges = { readonly [Name in FieldName]?: FieldValue<Name> | undefined };

/** The columns of a policy. */
export type PolicyRow = { readonly [Name in FieldName as ApiKeyFields[Name]['wireName']]: FieldValue<Name> };

/** A policy as the API shows it. */
export type ShownPolicy = {
  readonly [Name in FieldName as ApiKeyFields[Name]['wireName']]: ShownValue<Name>;
};

/** Lifetime usage of a key. */
export interface ApiKeyTotals {
  readonly requests: bigint;
  readonly tokens: bigint;
  readonly costMicroCents: bigint;
  readonly lastUsedAt: Date | null;
}

/** What makes a key live or not, by itself. */
export type ApiKeyLife = Pick<ApiKeyPolicy, 'isActive' | 'expiresAt'>;

/** What is shown of a secret: never the secret itself. */
export interface ApiKeySecretRecord {
  /** 16 hexadecimal digits; see `secretIdOf`. */
  readonly id: string;
  /** The first characters; null for one that was retired before these were kept. */
  readonly keyPrefix: string | null;
  readonly createdAt: Date;
  readonly lastUsedAt: Date | null;
  /** When a former secret ends; null for the current one. */
  readonly retiresAt: Date | null;
}

/** A person, or a service account. */
export const OWNER_KINDS = ['person', 'service'] as const;
export type OwnerKind = (typeof OWNER_KINDS)[number];

/** Reasons for which keys are deactivated together. */
export const INACTIVE_REASONS = ['owner_left'] as const;
export type InactiveReason = (typeof INACTIVE_REASONS)[number];

/** A key without what it was used for: all that a change of it needs to know. */
export interface ApiKeyCore extends ApiKeyPolicy {
  readonly id: number;
  readonly userId: number;
  /** Where it acts. */
  readonly organizationId: number;
  readonly projectId: number;
  readonly ownerKind: OwnerKind;
  /** Why it is not active, where that came from elsewhere than a change of the key. */
  readonly inactiveReason: InactiveReason | null;
  /** The key that created it; null when a person did. */
  readonly parentKeyId: number | null;
  readonly keyPrefix: string;
  readonly version: number;
  readonly createdAt: Date;
  readonly updatedAt: Date;
}

/** A key as the rest of the service sees it. */
export interface ApiKeyRecord extends ApiKeyCore {
  /** False when the owner is disabled or deleted: then no key of theirs is valid. */
  readonly isOwnerActive: boolean;
  /** False when its project or organization is disabled or deleted. */
  readonly isScopeActive: boolean;
  /** The keys that it came from, nearest first: it is valid while they all are. */
  readonly ancestors: readonly ApiKeyLife[];
  /** The current secret, then the retiring ones, next to end first; some of them may have ended by now. */
  readonly secrets: readonly ApiKeySecretRecord[];
  readonly totals: ApiKeyTotals;
}

/** A new key before anything was asked of it. */
export const BLANK_POLICY = policyOf((name) => fieldOf(name).initial);

/** The columns of a policy, named as its fields are on the wire. */
export const POLICY_COLUMNS = FIELD_NAMES.map(wireNameOf);

/** The policy in a row. */
export function toPolicy(row: PolicyRow): ApiKeyPolicy {
  return policyOf((name) => row[wireNameOf(name)]);
}

function policyOf(valueOf: (name: FieldName) => unknown): ApiKeyPolicy {
  return Object.fromEntries(FIELD_NAMES.map((name) => [name, valueOf(name)])) as unknown as ApiKeyPolicy;
}

/** The values of a policy in the order of `POLICY_COLUMNS`. */
export function columnValues(policy: ApiKeyPolicy): unknown[] {
  return FIELD_NAMES.map((name) => policy[name]);
}

/** Some fields of a policy as they are on the wire. */
export function wireValues(policy: ApiKeyPolicy, fields: readonly FieldName[]): Record<string, EventValue> {
  return Object.fromEntries(
    fields.map((field) => {
      const value = policy[field];
      return [wireNameOf(field), value instanceof Date ? value.toISOString() : value];
    }),
  );
}

/** The whole policy as the API shows it. */
export function toShownPolicy(policy: ApiKeyPolicy): ShownPolicy {
  return wireValues(policy, FIELD_NAMES) as unknown as ShownPolicy;
}
