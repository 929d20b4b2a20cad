import { Injectable } from '@nestjs/common';
import type { Principal } from '../auth/principal.js';
import type { Scope } from '../auth/scope.policy.js';
import type { BudgetLimit } from '../budgets/budget.policy.js';
import { type ScopeBudget, ScopeBudgets } from '../budgets/scope-budgets.queries.js';
import { MICRO_CENTS_PER_CENT } from '../common/money.js';
import { Change } from '../events/change.decorator.js';
import type { EventValue } from '../events/event-values.js';
import { EventPublisher } from '../events/event-publisher.service.js';

/** What the keys of a project, or of a whole organization, may spend together. The guard has judged the caller. */
@Injectable()
export class ScopeBudgetsService {
  constructor(
    private readonly budgets: ScopeBudgets,
    private readonly events: EventPublisher,
  ) {}

  async get(scope: Scope): Promise<ScopeBudget> {
    const budget = await this.budgets.find(scope);
    await this.events.observe('scope_budget.viewed', scope);
    return budget;
  }

  /** Sets the limit, or takes it away. What was spent stays counted; what was spent before the first limit was never. */
  @Change()
  async set(_principal: Principal, scope: Scope, limit: BudgetLimit): Promise<ScopeBudget> {
    const before = await this.budgets.find(scope);
    await this.budgets.set(scope, limit);
    const after = await this.budgets.find(scope);
    const [beforeValues, afterValues] = [valuesOf(before), valuesOf(after)];
    await this.events.change('scope_budget.updated', { ...scope, beforeValues, afterValues });
    return after;
  }
}

function valuesOf({ hasLimit, account }: ScopeBudget): Record<string, EventValue> {
  const limitCents = hasLimit ? Number(account.limitMicroCents / MICRO_CENTS_PER_CENT) : null;
  return { limit_cents: limitCents, type: account.periodType };
}
