import { Injectable } from '@nestjs/common';
import { LastUse } from '../api-keys/last-use.service.js';
import type { CachedKey } from '../api-keys/cached-key.js';
import { CachedKeys } from '../api-keys/cached-keys.service.js';
import { BudgetStates } from '../budgets/budget-states.service.js';
import { type Budget, NO_BUDGET } from '../budgets/budget.policy.js';
import { isReached, type Reach } from '../auth/reach.js';
import { Clock } from '../common/clock.js';
import { PEEK, RateLimiter } from '../rate-limits/rate-limiter.js';
import type { ConsumeOutcome, WindowState } from '../rate-limits/rate-windows.policy.js';
import { consumeFor } from './key-windows.js';
import { VerdictCounts } from './verdict-counts.service.js';
import { VerdictHolds } from './verdict-holds.service.js';
import { decide, type Refusal, type VerdictCode, type VerdictHold, type VerdictRequest } from './verdict.js';

/** The answer to "may this key do this now?". Whole for every code but `NOT_FOUND`. */
export type Verdict =
  | { readonly code: 'NOT_FOUND' }
  | {
      readonly code: Exclude<VerdictCode, 'NOT_FOUND'>;
      readonly cachedKey: CachedKey;
      readonly windows: readonly WindowState[];
      readonly budget: Budget;
      /** What was set aside, when that was asked for and the code is `VALID`. */
      readonly holdId?: string | undefined;
      /** Set when the code is `RATE_LIMITED`. */
      readonly retryAfterSeconds: number | null;
      /** The time the verdict was judged at, Unix milliseconds. */
      readonly nowMs: number;
    };

/** What is asked of which key. */
export interface VerifyItem {
  readonly secret: string;
  readonly request: VerdictRequest;
  readonly reach: Reach;
}

/** The verdict about an unknown key. */
export const NOT_FOUND: Verdict = { code: 'NOT_FOUND' };
const MOST_ATTEMPTS = 3;

/** A key with its budget; both are of no key when it is unknown. */
interface FoundKey {
  readonly cachedKey: CachedKey | undefined;
  readonly budget: Budget;
}

const UNKNOWN: FoundKey = { cachedKey: undefined, budget: NO_BUDGET };

/**
 * Judges keys: find, decide, consume. Synchronous as long as everything needed is in memory. A key beyond the reach of the
 * caller is an unknown one.
 */
@Injectable()
export class VerificationService {
  constructor(
    private readonly cachedKeys: CachedKeys,
    private readonly budgets: BudgetStates,
    private readonly limiter: RateLimiter,
    private readonly holds: VerdictHolds,
    private readonly counts: VerdictCounts,
    private readonly lastUse: LastUse,
    private readonly clock: Clock,
  ) {}

  /** @throws AppError `service.unavailable` when neither memory nor the database may answer */
  verify(secret: string, request: VerdictRequest, reach: Reach): Verdict | Promise<Verdict> {
    const nowMs = this.clock.nowMs();
    const found = this.find(secret, nowMs, reach);
    if (found instanceof Promise) return found.then((cachedKey) => this.#judge(cachedKey, request, nowMs));
    return this.#judge(found, request, nowMs);
  }

  /**
   * Judges many at once. It consumes nothing before it has found every key and its budget, so that the others lose nothing
   * when the database cannot answer for one of them.
   * @throws AppError `service.unavailable`
   */
  async verifyAll(items: readonly VerifyItem[]): Promise<Verdict[]> {
    const nowMs = this.clock.nowMs();
    const found = await this.#findAll(items, nowMs);
    return Promise.all(
      items.map(async ({ request }, index) => {
        const { cachedKey, budget } = found[index] ?? UNKNOWN;
        return this.#judgeWith(cachedKey, budget, request, nowMs);
      }),
    );
  }

  /**
   * The cached key, if key and owner are active, it has not expired and breaks no policy that is enforced. Checks nothing else
   * and consumes nothing.
   */
  async findActive(secret: string, reach: Reach): Promise<CachedKey | undefined> {
    const nowMs = this.clock.nowMs();
    const cachedKey = await this.find(secret, nowMs, reach);
    const isAlive =
      cachedKey?.isActive &&
      cachedKey.isOwnerActive &&
      cachedKey.isScopeActive &&
      cachedKey.expiresAtMs > nowMs &&
      cachedKey.breaksPolicyFromMs > nowMs;
    return isAlive ? cachedKey : undefined;
  }

  /** The cached key of a key, whatever may be wrong with it; undefined when there is none. */
  find(secret: string, nowMs: number, reach: Reach): CachedKey | undefined | Promise<CachedKey | undefined> {
    const found = this.#find(secret, nowMs);
    if (reach === undefined) return found;
    return found instanceof Promise
      ? found.then((cachedKey) => within(reach, cachedKey))
      : within(reach, found);
  }

  /**
   * What had to be waited for may be past when it comes: evicted meanwhile, or this process was stopped for a while. It
   * is in memory now, and looked for once more.
   */
  #find(secret: string, nowMs: number, attempt = 1): CachedKey | undefined | Promise<CachedKey | undefined> {
    const found = this.cachedKeys.find(secret, nowMs);
    if (!(found instanceof Promise) || attempt === MOST_ATTEMPTS) return found;
    return found.then(() => this.#find(secret, nowMs, attempt + 1));
  }

  /** The same for many and their budgets: when one had to be waited for, all are looked for once more. */
  async #findAll(items: readonly VerifyItem[], nowMs: number, attempt = 1): Promise<FoundKey[]> {
    const cachedKeys = items.map(({ secret }) => this.cachedKeys.find(secret, nowMs));
    const known = await Promise.all(
      cachedKeys.map(async (cachedKey, index) => within(items[index]?.reach, await cachedKey)),
    );
    const budgets = known.map((cachedKey) =>
      cachedKey === undefined ? NO_BUDGET : this.#budgetOf(cachedKey),
    );
    const found = await Promise.all(
      budgets.map(async (budget, index) => ({ cachedKey: known[index], budget: await budget })),
    );
    const hasWaited = [...cachedKeys, ...budgets].some((each) => each instanceof Promise);
    return hasWaited && attempt < MOST_ATTEMPTS ? this.#findAll(items, nowMs, attempt + 1) : found;
  }

  #judge(
    cachedKey: CachedKey | undefined,
    request: VerdictRequest,
    nowMs: number,
  ): Verdict | Promise<Verdict> {
    const budget = cachedKey === undefined ? NO_BUDGET : this.#budgetOf(cachedKey);
    return budget instanceof Promise
      ? budget.then((found) => this.#judgeWith(cachedKey, found, request, nowMs))
      : this.#judgeWith(cachedKey, budget, request, nowMs);
  }

  #budgetOf(cachedKey: CachedKey): Budget | Promise<Budget> {
    if (!cachedKey.hasBudget) return NO_BUDGET;
    return this.budgets.find(cachedKey.apiKeyId, cachedKey.line, cachedKey);
  }

  #judgeWith(
    cachedKey: CachedKey | undefined,
    budget: Budget,
    request: VerdictRequest,
    nowMs: number,
  ): Verdict | Promise<Verdict> {
    if (cachedKey === undefined) return this.#notFound();
    const { hold } = request;
    if (hold !== undefined) return this.#judgeWithHold(cachedKey, budget, { ...request, hold }, nowMs);
    const refusal = decide(cachedKey, request, nowMs, budget);
    const cost = refusal === undefined ? request.cost : PEEK;
    const consumed = consumeFor(this.limiter, cachedKey, cost, nowMs);
    return consumed instanceof Promise
      ? consumed.then((outcome) => this.#conclude(cachedKey, request, refusal, outcome, budget, nowMs))
      : this.#conclude(cachedKey, request, refusal, consumed, budget, nowMs);
  }

  async #judgeWithHold(
    cachedKey: CachedKey,
    known: Budget,
    request: VerdictRequest & { readonly hold: VerdictHold },
    nowMs: number,
  ): Promise<Verdict> {
    const judgment = await this.holds.judge(cachedKey, request, nowMs, known);
    if (judgment === undefined) return this.#notFound();
    const { refusal, outcome, budget, holdId } = judgment;
    return this.#conclude(cachedKey, request, refusal, outcome, budget, nowMs, holdId);
  }

  #conclude(
    cachedKey: CachedKey,
    { cost }: VerdictRequest,
    refusal: Refusal | undefined,
    { allowed, windows, retryAfterSeconds }: ConsumeOutcome,
    budget: Budget,
    nowMs: number,
    holdId?: string,
  ): Verdict {
    const code = refusal ?? (allowed ? 'VALID' : 'RATE_LIMITED');
    this.counts.add(code);
    if (code === 'VALID' && cost > PEEK) this.lastUse.record(cachedKey, nowMs);
    const waitSeconds = code === 'RATE_LIMITED' ? retryAfterSeconds : null;
    return { code, cachedKey, windows, budget, holdId, retryAfterSeconds: waitSeconds, nowMs };
  }

  #notFound(): Verdict {
    this.counts.add('NOT_FOUND');
    return NOT_FOUND;
  }
}

function within(reach: Reach, cachedKey: CachedKey | undefined): CachedKey | undefined {
  return cachedKey !== undefined && isReached(reach, cachedKey) ? cachedKey : undefined;
}
