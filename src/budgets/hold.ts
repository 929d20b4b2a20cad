import type { Budget } from './budget.policy.js';

export type HoldStatus = 'held' | 'settled' | 'released' | 'lapsed';

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

/** What is asked for. The same key and request id are answered the same hold. */
export interface HoldRequest {
  readonly apiKeyId: number;
  readonly amountMicroCents: bigint;
  readonly ttlSeconds: number;
  readonly requestId: string | null;
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

/** What became of a request. */
export type HoldOutcome =
  ({ readonly kind: 'granted' } & HoldWithBudget) | HoldRefusal | { readonly kind: 'unknown_key' };
