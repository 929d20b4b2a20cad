/** Whether a budget runs over the life of its account or anew in each UTC month. */
export type BudgetType = (typeof BUDGET_TYPES)[number];

export const BUDGET_TYPES = ['total', 'monthly'] as const;

/** A project, or with null for it a whole organization, whose keys share a budget. */
export interface BudgetPlace {
  readonly organizationId: number;
  readonly projectId: number | null;
}

/** The limit that an account is to have; null for none. */
export interface BudgetLimit {
  readonly limitMicroCents: bigint | null;
  readonly periodType: BudgetType;
}

/** What an account with a limit had when it was last read. Amounts are micro-cents. */
export interface BudgetAccount {
  readonly accountId: number;
  /** Grows with every change of the account. */
  readonly revision: number;
  readonly limitMicroCents: bigint;
  readonly periodType: BudgetType;
  /** The month that spent and held belong to, in Unix milliseconds; meaningless for a total budget. */
  readonly periodStartMs: number;
  readonly spentMicroCents: bigint;
  readonly heldMicroCents: bigint;
}

/** What binds a key. */
export interface Budget {
  /** The accounts with a limit in which its charges count, from its own to the topmost. */
  readonly accounts: readonly BudgetAccount[];
  /** Whether the first of them is its own. */
  readonly hasOwn: boolean;
}

/** The budget of a key that no limit binds. */
export const NO_BUDGET: Budget = { accounts: [], hasOwn: false };

/** An account at a moment: a new month begins at zero although nothing was written. */
export interface BudgetView {
  readonly limitMicroCents: bigint;
  readonly spentMicroCents: bigint;
  readonly heldMicroCents: bigint;
  /** Never below zero. */
  readonly remainingMicroCents: bigint;
  /** Null for a total budget. */
  readonly periodStart: Date | null;
  readonly periodEnd: Date | null;
}

/** The account as it stands at `nowMs`. */
export function accountView(account: BudgetAccount, nowMs: number): BudgetView {
  const { limitMicroCents, periodType } = account;
  const [periodStart, periodEnd] = periodType === 'total' ? [null, null] : monthOf(nowMs, account);
  const isOver = periodStart !== null && account.periodStartMs < periodStart.getTime();
  const spentMicroCents = isOver ? 0n : account.spentMicroCents;
  const heldMicroCents = isOver ? 0n : account.heldMicroCents;
  const left = limitMicroCents - spentMicroCents - heldMicroCents;
  const remainingMicroCents = left > 0n ? left : 0n;
  return { limitMicroCents, spentMicroCents, heldMicroCents, remainingMicroCents, periodStart, periodEnd };
}

/** What a key's budget is shown as: its own account; null when that has no limit. */
export function budgetView(budget: Budget, nowMs: number): BudgetView | null {
  const own = ownAccount(budget);
  return own === undefined ? null : accountView(own, nowMs);
}

/** Nothing more can be admitted: what some account has spent and holds has reached its limit. */
export function isExhausted({ accounts }: Budget, nowMs: number): boolean {
  return accounts.some((account) => accountView(account, nowMs).remainingMicroCents === 0n);
}

/** Whether the key's own account has this limit. */
export function hasLimit(budget: Budget, { limitMicroCents, periodType }: BudgetLimit): boolean {
  const own = ownAccount(budget);
  if (own === undefined) return limitMicroCents === null;
  return own.limitMicroCents === limitMicroCents && own.periodType === periodType;
}

/** Whether every account has room for an amount. */
export function hasRoomFor({ accounts }: Budget, amountMicroCents: bigint, nowMs: number): boolean {
  return accounts.every((account) => accountView(account, nowMs).remainingMicroCents >= amountMicroCents);
}

/** What binds a key by its own account alone. */
export function ownPart(budget: Budget): Budget {
  const own = ownAccount(budget);
  return own === undefined ? NO_BUDGET : { accounts: [own], hasOwn: true };
}

function ownAccount({ accounts, hasOwn }: Budget): BudgetAccount | undefined {
  return hasOwn ? accounts[0] : undefined;
}

/**
 * The UTC month around a moment: its start, and its end, which is the start of the next. An account that the database
 * has moved on to a later month already is in that month.
 */
function monthOf(nowMs: number, { periodStartMs }: BudgetAccount): [start: Date, end: Date] {
  const now = new Date(Math.max(nowMs, periodStartMs));
  const [year, month] = [now.getUTCFullYear(), now.getUTCMonth()];
  return [new Date(Date.UTC(year, month, 1)), new Date(Date.UTC(year, month + 1, 1))];
}
