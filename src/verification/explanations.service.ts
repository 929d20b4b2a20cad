import { Injectable } from '@nestjs/common';
import type { KeyRestrictions, CachedKey } from '../api-keys/cached-key.js';
import { BudgetStates } from '../budgets/budget-states.service.js';
import { type Budget, NO_BUDGET, ownPart } from '../budgets/budget.policy.js';
import type { Reach } from '../auth/reach.js';
import { Clock } from '../common/clock.js';
import { PEEK, RateLimiter } from '../rate-limits/rate-limiter.js';
import { isBeyond, type ConsumeOutcome } from '../rate-limits/rate-windows.policy.js';
import { consumeFor } from './key-windows.js';
import { decide, RULES, type VerdictCode, type VerdictRequest } from './verdict.js';
import { NOT_FOUND, type Verdict, VerificationService } from './verification.service.js';

type Inputs = Readonly<Record<string, unknown>>;

/** One rule of a verdict with what it compared. */
export interface ExplainedRule {
  readonly code: VerdictCode;
  readonly passed: boolean;
  /** For a key with ancestors, `line` is the result of each of them, the key itself first. */
  readonly inputs: Inputs;
}

/** A verdict with the result of every rule, also after the first refusal. */
export interface Explanation {
  readonly verdict: Verdict;
  readonly rules: readonly ExplainedRule[];
}

/** A key that is judged, alone or with its ancestors, with its budget and rate windows. */
interface Judged {
  readonly cachedKey: CachedKey;
  readonly budget: Budget;
  readonly outcome: ConsumeOutcome;
}

/** Verdicts that consume nothing and show how each rule came to its result. */
@Injectable()
export class Explanations {
  constructor(
    private readonly verification: VerificationService,
    private readonly budgets: BudgetStates,
    private readonly limiter: RateLimiter,
    private readonly clock: Clock,
  ) {}

  /** @throws AppError `service.unavailable` when neither memory nor the database may answer */
  async explain(secret: string, request: VerdictRequest, reach: Reach): Promise<Explanation> {
    const nowMs = this.clock.nowMs();
    const cachedKey = await this.verification.find(secret, nowMs, reach);
    if (cachedKey === undefined) {
      return { verdict: NOT_FOUND, rules: [{ code: 'NOT_FOUND', passed: false, inputs: {} }] };
    }
    const outcome = await consumeFor(this.limiter, cachedKey, PEEK, nowMs);
    const budget = cachedKey.hasBudget
      ? await this.budgets.find(cachedKey.apiKeyId, cachedKey.line, cachedKey)
      : NO_BUDGET;
    const line = await Promise.all((cachedKey.line ?? []).map((key) => this.#alone(cachedKey, key, nowMs)));
    const lines = line.map((key) => ({ id: key.cachedKey.apiKeyId, rules: rulesOf(key, request, nowMs) }));
    const rules = rulesOf({ cachedKey, budget, outcome }, request, nowMs).map((rule, index) => ({
      ...rule,
      inputs: lines.length === 0 ? rule.inputs : { ...rule.inputs, line: lines.map(rowOf(index)) },
    }));
    const isLimited = isBeyond(outcome.windows, request.cost);
    const code = decide(cachedKey, request, nowMs, budget) ?? (isLimited ? 'RATE_LIMITED' : 'VALID');
    const { windows, retryAfterSeconds } = outcome;
    return { verdict: { code, cachedKey, windows, budget, retryAfterSeconds, nowMs }, rules };
  }

  /** One key of the line, as if it had no ancestors. */
  async #alone(cachedKey: CachedKey, key: KeyRestrictions, nowMs: number): Promise<Judged> {
    const { apiKeyId, rateLimits } = key;
    const outcome = await this.limiter.consume(apiKeyId, rateLimits, PEEK, nowMs);
    // Policies judge each key by itself: those of its ancestors are no part of this verdict.
    const breaksPolicyFromMs =
      apiKeyId === cachedKey.apiKeyId ? cachedKey.breaksPolicyFromMs : Number.POSITIVE_INFINITY;
    const budget = ownPart(await this.budgets.find(apiKeyId, undefined, cachedKey));
    return {
      cachedKey: { ...cachedKey, ...key, line: undefined, hasBudget: budget.hasOwn, breaksPolicyFromMs },
      budget,
      outcome,
    };
  }
}

function rulesOf(
  { cachedKey, budget, outcome }: Judged,
  request: VerdictRequest,
  nowMs: number,
): ExplainedRule[] {
  const rules: ExplainedRule[] = RULES.map((rule) => ({
    code: rule.refusal,
    passed: rule.passes(cachedKey, request, nowMs, budget),
    inputs: rule.inputs(cachedKey, request, nowMs),
  }));
  const windows = outcome.windows.map(({ window, limit, remaining }) => ({ window, limit, remaining }));
  const passed = !isBeyond(outcome.windows, request.cost);
  return [...rules, { code: 'RATE_LIMITED', passed, inputs: { cost: request.cost, windows } }];
}

function rowOf(index: number) {
  return ({ id, rules }: { readonly id: number; readonly rules: readonly ExplainedRule[] }): Inputs => ({
    api_key_id: id,
    passed: rules[index]?.passed,
    ...rules[index]?.inputs,
  });
}
