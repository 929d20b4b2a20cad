import { type Budget, type BudgetAccount, type BudgetType, NO_BUDGET } from './budget.policy.js';

type AccountRow = readonly [
  accountId: number,
  depth: number,
  revision: number,
  limit: string,
  periodType: BudgetType,
  periodStartMs: number | null,
  spent: string,
  held: string,
];

const OWN_DEPTH = 1;

/** What the ledger's functions answer as `states`: the accounts of each key that has a budget. Null when none has. */
export type BudgetRows = Readonly<Record<string, readonly AccountRow[]>> | null;

/** The budgets of the keys asked for. */
export function budgetsOf(rows: BudgetRows, apiKeyIds: Iterable<number>): Map<number, Budget> {
  const budgets = new Map<number, Budget>();
  for (const apiKeyId of apiKeyIds) {
    const accounts = rows?.[apiKeyId];
    if (!budgets.has(apiKeyId))
      budgets.set(apiKeyId, accounts === undefined ? NO_BUDGET : toBudget(accounts));
  }
  return budgets;
}

function toBudget(accounts: readonly AccountRow[]): Budget {
  const hasOwn = accounts[0]?.[1] === OWN_DEPTH;
  return { accounts: accounts.map(toAccount), hasOwn };
}

function toAccount(row: AccountRow): BudgetAccount {
  const [accountId, _depth, revision, limit, periodType, periodStartMs, spent, held] = row;
  return {
    accountId,
    revision,
    limitMicroCents: BigInt(limit),
    periodType,
    periodStartMs: periodStartMs ?? 0,
    spentMicroCents: BigInt(spent),
    heldMicroCents: BigInt(held),
  };
}
