import { type Budget, type BudgetAccount, type BudgetPeriodType, NO_BUDGET } from './budget.policy.js';

type AccountRow = readonly [
  accountId: number,
  depth: number,
  revision: number,
  limit: string,
  periodType: BudgetPeriodType,
  periodStartMs: number | null,
  spent: string,
  held: string,
];

/** What the ledger's functions answer as `states`: the accounts of each key that has a budget. Null when none has. */
export type BudgetRows = Readonly<Record<string, readonly AccountRow[]>> | null;

/** The budgets of the keys asked for. */
export function budgetsOf(rows: BudgetRows, apiKeyIds: Iterable<number>): Map<number, Budget> {
  const budgets = new Map<number, Budget>();
  for (const apiKeyId of apiKeyIds) {
    if (!budgets.has(apiKeyId)) budgets.set(apiKeyId, rows?.[apiKeyId]?.map(toAccount) ?? NO_BUDGET);
  }
  return budgets;
}

function toAccount([
  accountId,
  depth,
  revision,
  limit,
  periodType,
  periodStartMs,
  spent,
  held,
]: AccountRow): BudgetAccount {
  return {
    accountId,
    revision,
    isOwn: depth === 1,
    limitMicroCents: BigInt(limit),
    periodType,
    periodStartMs: periodStartMs ?? 0,
    spentMicroCents: BigInt(spent),
    heldMicroCents: BigInt(held),
  };
}
