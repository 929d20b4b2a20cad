import type { Budget } from '../budgets/budget.policy.js';
import type { Reporter } from '../usage/reporter.js';

export type HoldStatus = 'held' | 'settled' | 'released' | 'expired';

/** A status as the tables keep it, which say `lapsed` of a hold that has expired. */
export type StoredHoldStatus = Exclude<HoldStatus, 'expired'> | 'lapsed';

export function holdStatusOf(stored: StoredHoldStatus): HoldStatus {
  return stored === 'lapsed' ? 'expired' : stored;
}

/** An amount set aside from a budget for a time. Amounts are micro-cents. */
export interface Hold {
  /** UUIDv7. */
  readonly id: string;
  readonly apiKeyId: number;
  readonly status: HoldStatus;
  readonly amountMicroCents: bigint;
  /** What it was settled with; null for any other status. */
  readonly costMicroCents: bigint | null;
  readonly expiresAt: Date;
}

/** A hold, with the budget of its key right after what was done. */
export interface HoldWithBudget {
  readonly hold: Hold;
  readonly budget: Budget;
}

/** The request for a hold. The same key, request id and reporter get the same hold. */
export interface HoldRequest {
  readonly apiKeyId: number;
  readonly amountMicroCents: bigint;
  readonly ttlSeconds: number;
  readonly requestId: string | null;
  readonly takenBy: Reporter;
}

/**
 * Why a hold was refused: the amount alone is more than the limit; with what is spent it would be; with what others
 * hold it would be.
 */
export type HoldRefusalReason = 'amount_exceeds_limit' | 'budget_exhausted' | 'held';

export interface HoldRefusal {
  readonly kind: 'refused';
  readonly reason: HoldRefusalReason;
  /** For `held`: until one of the holds in the way ends. */
  readonly retryAfterSeconds: number | null;
  readonly budget: Budget;
}

/** Why a verdict would refuse the key whatever the request. */
export type KeyRefusal = 'DISABLED' | 'EXPIRED' | 'POLICY_VIOLATION';

/** The result of a request. `conflict`: its request id belongs to a hold of another amount. */
export type HoldOutcome =
  | ({ readonly kind: 'granted' } & HoldWithBudget)
  | HoldRefusal
  | { readonly kind: 'key_refused'; readonly refusal: KeyRefusal; readonly budget: Budget }
  | { readonly kind: 'conflict' }
  | { readonly kind: 'unknown_key' };
