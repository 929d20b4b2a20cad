import { type KeyRules, toKeyRules } from '../organizations/key-rules.js';
import { breaksFromMs } from '../organizations/key-rules.policy.js';
import type { OwnerKind } from './api-key.js';

/*
 * What verdicts need of policies that are enforced for all keys: when the key begins to break one of them.
 */

/** The rules of the organization and the project of `keys` that are enforced for all keys: null, or a list of them. */
export const ENFORCED_RULES = `(
        SELECT json_agg(policies.rules) FROM policies
        WHERE policies.organization_id = keys.organization_id
          AND (policies.project_id IS NULL OR policies.project_id = keys.project_id)
          AND policies.rules ->> 'enforcement' = 'all'
      )`;

/** What policies look at that verdicts do not. */
export const RULED_OF_KEY_ALONE = 'keys.is_unlimited, keys.budget_limit_cents';

/** All that policies look at of `keys`, beside the owner and the secret. */
export const RULED_COLUMNS = `keys.name, keys.scopes, keys.allowed_ips, keys.allowed_models, keys.expires_at, keys.created_at,
      ${RULED_OF_KEY_ALONE}`;

/** A row with these, the kind of its owner, and the age of its current secret. */
export interface EnforcedRow {
  readonly enforced_rules: readonly Partial<KeyRules>[] | null;
  readonly owner_kind: OwnerKind;
  readonly secret_created_at: Date;
  readonly name: string;
  readonly scopes: string[];
  readonly allowed_ips: string[];
  readonly allowed_models: string[];
  readonly expires_at: Date | string | null;
  readonly created_at: Date;
  readonly is_unlimited: boolean;
  readonly budget_limit_cents: number | null;
}

/** Unix milliseconds; infinite for a key that obeys, minus infinity for one that never did. */
export function toBreaksPolicyFromMs(row: EnforcedRow): number {
  if (row.enforced_rules === null) return Number.POSITIVE_INFINITY;
  return breaksFromMs(row.enforced_rules.map(toKeyRules), {
    name: row.name,
    scopes: row.scopes,
    allowedIps: row.allowed_ips,
    allowedModels: row.allowed_models,
    expiresAt: row.expires_at === null ? null : new Date(row.expires_at),
    createdAt: row.created_at,
    isUnlimited: row.is_unlimited,
    budgetLimitCents: row.budget_limit_cents,
    ownerKind: row.owner_kind,
    secretCreatedAt: row.secret_created_at,
  });
}
