/** Whether a budget runs over the life of its account or anew in each UTC month. */
export type BudgetPeriodType = 'total' | 'monthly';

/** What an account had when it was last read. Amounts are micro-cents. */
export interface BudgetState {
  readonly limitMicroCents: bigint;
  readonly periodType: BudgetPeriodType;
  /** The month that spent and held belong to, in Unix milliseconds; meaningless for a total budget. */
  readonly periodStartMs: number;
  readonly spentMicroCents: bigint;
  readonly heldMicroCents: bigint;
}

/** A budget at a moment: a new month begins at zero although nothing was written. */
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

/** The budget as it stands at `nowMs`. */
export function budgetView(state: BudgetState, nowMs: number): BudgetView {
  const { limitMicroCents, periodType } = state;
  const [periodStart, periodEnd] = periodType === 'total' ? [null, null] : monthOf(nowMs);
  const isOver = periodStart !== null && state.periodStartMs < periodStart.getTime();
  const spentMicroCents = isOver ? 0n : state.spentMicroCents;
  const heldMicroCents = isOver ? 0n : state.heldMicroCents;
  const left = limitMicroCents - spentMicroCents - heldMicroCents;
  const remainingMicroCents = left > 0n ? left : 0n;
  return { limitMicroCents, spentMicroCents, heldMicroCents, remainingMicroCents, periodStart, periodEnd };
}

/** Nothing more can be admitted: what is spent and held has reached the limit. */
export function isExhausted({ limitMicroCents, spentMicroCents, heldMicroCents }: BudgetView): boolean {
  return spentMicroCents + heldMicroCents >= limitMicroCents;
}

/** The UTC month around a moment: its start, and its end, which is the start of the next. */
export function monthOf(nowMs: number): [start: Date, end: Date] {
  const now = new Date(nowMs);
  const [year, month] = [now.getUTCFullYear(), now.getUTCMonth()];
  return [new Date(Date.UTC(year, month, 1)), new Date(Date.UTC(year, month + 1, 1))];
}
