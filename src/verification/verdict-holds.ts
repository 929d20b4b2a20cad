import { Injectable, Logger } from '@nestjs/common';
import type { KeySnapshot } from '../api-keys/snapshot.js';
import { BudgetLedger } from '../budgets/budget-ledger.js';
import type { Budget } from '../budgets/budget.policy.js';
import type { HoldWithBudget } from '../budgets/hold.js';
import type { Reporter } from '../budgets/reporter.js';
import { PEEK, RateLimiter } from '../rate-limits/rate-limiter.js';
import { isBeyond, type TakeOutcome } from '../rate-limits/rate-windows.policy.js';
import { takeFor } from './key-windows.js';
import { decide, type Refusal, type VerdictHold, type VerdictRequest } from './verdict.js';

/** What became of a verdict that was to hold an amount. */
export interface HeldJudgement {
  readonly refusal: Refusal | undefined;
  readonly outcome: TakeOutcome;
  /** After the hold. */
  readonly budget: Budget;
  /** Set when the verdict is valid. */
  readonly holdId?: string;
}

/** Verdicts that set an amount aside. */
@Injectable()
export class VerdictHolds {
  readonly #logger = new Logger(VerdictHolds.name);

  constructor(
    private readonly ledger: BudgetLedger,
    private readonly limiter: RateLimiter,
  ) {}

  /**
   * Looks at the windows, holds, then takes from the windows: whoever is limited writes nothing, and whoever the budget
   * refuses spends nothing. Whether there is room is for the ledger to say; what the budget was known to stand at only
   * decides which of two refusals comes first. Undefined when the key has gone meanwhile.
   */
  async judge(
    snapshot: KeySnapshot,
    request: VerdictRequest & { readonly hold: VerdictHold },
    nowMs: number,
    budget: Budget,
  ): Promise<HeldJudgement | undefined> {
    const { apiKeyId } = snapshot;
    const refusal = decide(snapshot, request, nowMs, budget);
    const look = await takeFor(this.limiter, snapshot, PEEK, nowMs);
    const isLimited = isBeyond(look.windows, request.cost);
    if (isLimited || (refusal !== undefined && refusal !== 'BUDGET_EXCEEDED'))
      return { refusal, outcome: { ...look, allowed: !isLimited }, budget };
    const { hold } = request;
    const granted = await this.ledger.grantHold({ apiKeyId, ...hold, requestId: null });
    switch (granted.kind) {
      case 'unknown_key':
        return undefined;
      case 'key_refused':
        return { refusal: granted.refusal, outcome: look, budget: granted.budget };
      case 'conflict':
        throw new Error('A hold without a request id met another.');
      case 'refused':
        return { refusal: 'BUDGET_EXCEEDED', outcome: look, budget: granted.budget };
      case 'granted':
        return this.#take(snapshot, request, granted, nowMs);
    }
  }

  async #take(
    snapshot: KeySnapshot,
    { cost, hold: { takenBy } }: VerdictRequest & { readonly hold: VerdictHold },
    { hold, budget }: HoldWithBudget,
    nowMs: number,
  ): Promise<HeldJudgement> {
    try {
      const outcome = await takeFor(this.limiter, snapshot, cost, nowMs);
      if (outcome.allowed) return { refusal: undefined, outcome, budget, holdId: hold.id };
      return { refusal: undefined, outcome, budget: (await this.#giveBack(hold.id, takenBy)) ?? budget };
    } catch (error) {
      await this.#giveBack(hold.id, takenBy);
      throw error;
    }
  }

  /** One that cannot be given back lapses. */
  async #giveBack(holdId: string, takenBy: Reporter): Promise<Budget | undefined> {
    try {
      return (await this.ledger.release(holdId, takenBy))?.budget;
    } catch (error) {
      this.#logger.warn(`Hold ${holdId} could not be released and will lapse: ${String(error)}`);
      return undefined;
    }
  }
}
