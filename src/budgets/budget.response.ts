import { decimalCentsFromMicroCents, MICRO_CENTS_PER_CENT } from '../common/money.js';
import { wireInteger } from '../common/wire-integer.js';
import { component } from '../contract/components.js';
import { COUNT, DECIMAL_CENTS, NULLABLE_TIMESTAMP, nullable } from '../contract/wire-schemas.js';
import { type Budget, budgetView } from './budget.policy.js';

/** A budget as every route shows it. */
export const BUDGET_SCHEMA = component('Budget', {
  type: 'object',
  description: 'What a key may spend, and how much of it is left.',
  required: [
    'limit_cents',
    'spent_cents_decimal',
    'held_cents_decimal',
    'remaining_cents_decimal',
    'period_start',
    'period_end',
  ],
  properties: {
    limit_cents: { ...COUNT, description: 'The limit in whole cents.' },
    spent_cents_decimal: { ...DECIMAL_CENTS, description: 'What was spent in this period, in cents.' },
    held_cents_decimal: { ...DECIMAL_CENTS, description: 'What is held for requests under way, in cents.' },
    remaining_cents_decimal: {
      ...DECIMAL_CENTS,
      description: 'What is neither spent nor held, in cents; never below 0.',
    },
    period_start: {
      ...NULLABLE_TIMESTAMP,
      description: 'When the period began; null for a budget of the whole life of the key.',
    },
    period_end: {
      ...NULLABLE_TIMESTAMP,
      description: 'When the next period begins; null for a budget of the whole life of the key.',
    },
  },
});

/** The same, of a key that may have none. */
export const NULLABLE_BUDGET_SCHEMA = {
  ...nullable(BUDGET_SCHEMA),
  description: 'Null when the key has no budget.',
};

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
