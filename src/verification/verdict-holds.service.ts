import { Injectable, Logger } from '@nestjs/common';
import type { CachedKey } from '../api-keys/cached-key.js';
import { BudgetLedger } from '../holds/budget-ledger.queries.js';
import type { Budget } from '../budgets/budget.policy.js';
import type { HoldWithBudget } from '../holds/hold.js';
import type { Reporter } from '../usage/reporter.js';
import { PEEK, RateLimiter } from '../rate-limits/rate-limiter.js';
import { isBeyond, type ConsumeOutcome } from '../rate-limits/rate-windows.policy.js';
import { consumeFor } from './key-windows.js';
import { decide, type Refusal, type VerdictHold, type VerdictRequest } from './verdict.js';

/** What became of a verdict that was to hold an amount. */
export interface HeldJudgment {
  readonly refusal: Refusal | undefined;
  readonly outcome: ConsumeOutcome;
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
   * Peeks at the windows, takes the hold, then consumes from the windows. So a limited key writes nothing, and a key that
   * the budget refuses consumes nothing. The ledger decides whether the budget has room; the cached budget only decides
   * which of two refusals comes first. Undefined when the key was deleted meanwhile.
   */
  async judge(
    cachedKey: CachedKey,
    request: VerdictRequest & { readonly hold: VerdictHold },
    nowMs: number,
    budget: Budget,
  ): Promise<HeldJudgment | undefined> {
    const { apiKeyId } = cachedKey;
    const refusal = decide(cachedKey, request, nowMs, budget);
    const peek = await consumeFor(this.limiter, cachedKey, PEEK, nowMs);
    const isLimited = isBeyond(peek.windows, request.cost);
    if (isLimited || (refusal !== undefined && refusal !== 'BUDGET_EXCEEDED'))
      return { refusal, outcome: { ...peek, allowed: !isLimited }, budget };
    const { hold } = request;
    const granted = await this.ledger.grantHold({ apiKeyId, ...hold, requestId: null });
    switch (granted.kind) {
      case 'unknown_key':
        return undefined;
      case 'key_refused':
        return { refusal: granted.refusal, outcome: peek, budget: granted.budget };
      case 'conflict':
        throw new Error('A hold without a request id met another.');
      case 'refused':
        return { refusal: 'BUDGET_EXCEEDED', outcome: peek, budget: granted.budget };
      case 'granted':
        return this.#consume(cachedKey, request, granted, nowMs);
    }
  }

  async #consume(
    cachedKey: CachedKey,
    { cost, hold: { takenBy } }: VerdictRequest & { readonly hold: VerdictHold },
    { hold, budget }: HoldWithBudget,
    nowMs: number,
  ): Promise<HeldJudgment> {
    try {
      const outcome = await consumeFor(this.limiter, cachedKey, cost, nowMs);
      if (outcome.allowed) return { refusal: undefined, outcome, budget, holdId: hold.id };
      return { refusal: undefined, outcome, budget: (await this.#giveBack(hold.id, takenBy)) ?? budget };
    } catch (error) {
      await this.#giveBack(hold.id, takenBy);
      throw error;
    }
  }

  /** One that cannot be given back expires. */
  async #giveBack(holdId: string, takenBy: Reporter): Promise<Budget | undefined> {
    try {
      return (await this.ledger.release(holdId, takenBy))?.budget;
    } catch (error) {
      this.#logger.warn(`Hold ${holdId} could not be released and will expire: ${String(error)}`);
      return undefined;
    }
  }
}
