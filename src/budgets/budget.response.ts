import { decimalCentsFromMicroCents, MICRO_CENTS_PER_CENT } from '../common/money.js';
import { wireInteger } from '../common/wire-integer.js';
import { type Budget, budgetView } from './budget.policy.js';

const NULLABLE_TIMESTAMP = { type: ['string', 'null'], format: 'date-time' } as const;

/** A budget as every route shows it. */
export const BUDGET_SCHEMA = {
  type: ['object', 'null'],
  description: 'Null when the key has no budget.',
  required: [
    'limit_cents',
    'spent_cents_decimal',
    'held_cents_decimal',
    'remaining_cents_decimal',
    'period_start',
    'period_end',
  ],
  properties: {
    limit_cents: { type: 'integer' },
    spent_cents_decimal: { type: 'string' },
    held_cents_decimal: { type: 'string' },
    remaining_cents_decimal: { type: 'string' },
    period_start: NULLABLE_TIMESTAMP,
    period_end: NULLABLE_TIMESTAMP,
  },
} as const;

/** The budget of a key at a moment; null when it has none. */
export function toBudgetResponse(budget: Budget, nowMs: number): Record<string, unknown> | null {
  const view = budgetView(budget, nowMs);
  return (
    view && {
      limit_cents: wireInteger(view.limitMicroCents / MICRO_CENTS_PER_CENT),
      spent_cents_decimal: decimalCentsFromMicroCents(view.spentMicroCents),
      held_cents_decimal: decimalCentsFromMicroCents(view.heldMicroCents),
      remaining_cents_decimal: decimalCentsFromMicroCents(view.remainingMicroCents),
      period_start: view.periodStart?.toISOString() ?? null,
      period_end: view.periodEnd?.toISOString() ?? null,
    }
  );
}
