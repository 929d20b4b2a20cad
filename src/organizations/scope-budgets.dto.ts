import { ApiSchema } from '@nestjs/swagger';
import { accountView, BUDGET_TYPES, type BudgetLimit, type BudgetType } from '../budgets/budget.policy.js';
import type { ScopeBudget } from '../budgets/scope-budgets.queries.js';
import { decimalCentsFromMicroCents, MICRO_CENTS_PER_CENT } from '../common/money.js';
import { wireInteger } from '../common/wire-integer.js';
import { ChoiceField, IntegerField, ResponseField } from '../contract/fields.js';
import { COUNT, DECIMAL_CENTS, openEnum, TIMESTAMP } from '../contract/wire-schemas.js';

const TYPE = { name: 'BudgetType', choices: BUDGET_TYPES } as const;

@ApiSchema({ name: 'ScopeBudgetUpdate' })
export class UpdateScopeBudgetDto {
  @IntegerField({
    minimum: 0,
    maximum: 1_000_000_000_000,
    nullable: true,
    description: 'What all keys of it may spend together, in whole cents; null for no limit.',
    example: 500_000,
  })
  limit_cents!: number | null;

  @ChoiceField({
    ...TYPE,
    optional: true,
    default: 'total',
    description: 'Whether the limit counts for ever, or anew in each UTC month.',
  })
  type?: BudgetType;
}

@ApiSchema({ name: 'ScopeBudget' })
export class ScopeBudgetResponse {
  @ResponseField({ ...COUNT, nullable: true, description: 'The limit in whole cents; null for none.' })
  limit_cents!: number | null;

  @ResponseField({ ...openEnum(BUDGET_TYPES, 'The period of the budget.') })
  type!: BudgetType;

  @ResponseField({ ...DECIMAL_CENTS, description: 'What was spent in this period, in cents.' })
  spent_cents_decimal!: string;

  @ResponseField({ ...DECIMAL_CENTS, description: 'What is held for requests under way, in cents.' })
  held_cents_decimal!: string;

  @ResponseField({
    ...DECIMAL_CENTS,
    nullable: true,
    description: 'What is neither spent nor held, in cents; never below 0, and null without a limit.',
  })
  remaining_cents_decimal!: string | null;

  @ResponseField({
    ...TIMESTAMP,
    nullable: true,
    description: 'When the period began; null for a budget that counts for ever.',
  })
  period_start!: string | null;

  @ResponseField({
    ...TIMESTAMP,
    nullable: true,
    description: 'When the next period begins; null for a budget that counts for ever.',
  })
  period_end!: string | null;
}

/** The limit as the service takes it. */
export function toBudgetLimit({ limit_cents: cents, type = 'total' }: UpdateScopeBudgetDto): BudgetLimit {
  return {
    limitMicroCents: cents === null ? null : BigInt(cents) * MICRO_CENTS_PER_CENT,
    periodType: type,
  };
}

/** The budget at a moment. */
export function toScopeBudgetResponse(
  { hasLimit, account }: ScopeBudget,
  nowMs: number,
): ScopeBudgetResponse {
  const view = accountView(account, nowMs);
  return {
    limit_cents: hasLimit ? wireInteger(view.limitMicroCents / MICRO_CENTS_PER_CENT) : null,
    type: account.periodType,
    spent_cents_decimal: decimalCentsFromMicroCents(view.spentMicroCents),
    held_cents_decimal: decimalCentsFromMicroCents(view.heldMicroCents),
    remaining_cents_decimal: hasLimit ? decimalCentsFromMicroCents(view.remainingMicroCents) : null,
    period_start: view.periodStart?.toISOString() ?? null,
    period_end: view.periodEnd?.toISOString() ?? null,
  };
}
