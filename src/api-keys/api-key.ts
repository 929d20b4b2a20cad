import type { EventValue } from '../events/domain-events.js';
import type { BudgetType } from './api-key.entity.js';

/** What a caller may set of a key. Absent fields are `undefined`, cleared ones `null`. */
export interface ApiKeyPolicy {
  readonly name: string;
  readonly description: string | null;
  readonly scopes: string[];
  readonly isActive: boolean;
  readonly expiresAt: Date | null;
  readonly rateLimitPerMinute: number | null;
  readonly rateLimitPerHour: number | null;
  readonly rateLimitPerDay: number | null;
  readonly allowedIps: string[];
  readonly allowedModels: string[];
  readonly allowedChatbots: string[];
  readonly isUnlimited: boolean;
  readonly budgetLimitCents: number | null;
  readonly budgetType: BudgetType | null;
  readonly tags: string[];
}

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

/** A key without what it was used for: all that a change of it needs to know. */
export interface ApiKeyCore extends ApiKeyPolicy {
  readonly id: number;
  readonly userId: number;
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
  /** The keys that it came from, nearest first: it is valid while they all are. */
  readonly ancestors: readonly ApiKeyLife[];
  /** The current secret, then the retiring ones, next to end first; some of them may have ended by now. */
  readonly secrets: readonly ApiKeySecretRecord[];
  readonly totals: ApiKeyTotals;
}

/** Wire name of each field of the policy, in the order in which the API shows them. */
export const POLICY_WIRE_NAMES = {
  name: 'name',
  description: 'description',
  scopes: 'scopes',
  isActive: 'is_active',
  expiresAt: 'expires_at',
  rateLimitPerMinute: 'rate_limit_per_minute',
  rateLimitPerHour: 'rate_limit_per_hour',
  rateLimitPerDay: 'rate_limit_per_day',
  allowedIps: 'allowed_ips',
  allowedModels: 'allowed_models',
  allowedChatbots: 'allowed_chatbots',
  isUnlimited: 'is_unlimited',
  budgetLimitCents: 'budget_limit_cents',
  budgetType: 'budget_type',
  tags: 'tags',
} as const satisfies Record<keyof ApiKeyPolicy, string>;

export const POLICY_FIELDS = Object.keys(POLICY_WIRE_NAMES) as readonly (keyof ApiKeyPolicy)[];

/** The fields a request wants changed. */
export type ApiKeyChanges = { readonly [Field in keyof ApiKeyPolicy]?: ApiKeyPolicy[Field] | undefined };

/** Some fields of a policy as they are on the wire. */
export function wireValues(
  policy: ApiKeyPolicy,
  fields: readonly (keyof ApiKeyPolicy)[],
): Record<string, EventValue> {
  return Object.fromEntries(
    fields.map((field) => {
      const value = policy[field];
      return [POLICY_WIRE_NAMES[field], value instanceof Date ? value.toISOString() : value];
    }),
  );
}
