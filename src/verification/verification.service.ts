import { Injectable } from '@nestjs/common';
import { LastUse } from '../api-keys/last-use.js';
import type { KeySnapshot } from '../api-keys/snapshot.js';
import { Snapshots } from '../api-keys/snapshots.js';
import { BudgetStates } from '../budgets/budget-states.js';
import { type Budget, NO_BUDGET } from '../budgets/budget.policy.js';
import { Clock } from '../common/clock.js';
import { PEEK, RateLimiter } from '../rate-limits/rate-limiter.js';
import type { TakeOutcome, WindowState } from '../rate-limits/rate-windows.policy.js';
import { takeFor } from './key-windows.js';
import { VerdictCounts } from './verdict-counts.js';
import { VerdictHolds } from './verdict-holds.js';
import { decide, type Refusal, type VerdictCode, type VerdictHold, type VerdictRequest } from './verdict.js';

/** The answer to "may this key do this now?". Whole for every code but `NOT_FOUND`. */
export type Verdict =
  | { readonly code: 'NOT_FOUND' }
  | {
      readonly code: Exclude<VerdictCode, 'NOT_FOUND'>;
      readonly snapshot: KeySnapshot;
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
export interface Question {
  readonly secret: string;
  readonly request: VerdictRequest;
}

/** The verdict about an unknown key. */
export const NOT_FOUND: Verdict = { code: 'NOT_FOUND' };
const MOST_ATTEMPTS = 3;

/** A key with its budget; both are of no key when it is unknown. */
interface FoundKey {
  readonly snapshot: KeySnapshot | undefined;
  readonly budget: Budget;
}

const UNKNOWN: FoundKey = { snapshot: undefined, budget: NO_BUDGET };

/** Judges keys: parse, find, decide, take. Synchronous as long as everything needed is in memory. */
@Injectable()
export class VerificationService {
  constructor(
    private readonly snapshots: Snapshots,
    private readonly budgets: BudgetStates,
    private readonly limiter: RateLimiter,
    private readonly holds: VerdictHolds,
    private readonly counts: VerdictCounts,
    private readonly lastUse: LastUse,
    private readonly clock: Clock,
  ) {}

  /** @throws AppError `service.unavailable` when neither memory nor the database may answer */
  verify(secret: string, request: VerdictRequest): Verdict | Promise<Verdict> {
    const nowMs = this.clock.nowMs();
    const found = this.#find(secret, nowMs);
    if (found instanceof Promise) return found.then((snapshot) => this.#judge(snapshot, request, nowMs));
    return this.#judge(found, request, nowMs);
  }

  /**
   * Judges many at once. Nothing is taken before every key and its budget was found, so that a database that is away
   * for one of them costs the others nothing.
   * @throws AppError `service.unavailable`
   */
  async verifyAll(questions: readonly Question[]): Promise<Verdict[]> {
    const nowMs = this.clock.nowMs();
    const found = await this.#findAll(questions, nowMs);
    return Promise.all(
      questions.map(async ({ request }, index) => {
        const { snapshot, budget } = found[index] ?? UNKNOWN;
        return this.#judgeWith(snapshot, budget, request, nowMs);
      }),
    );
  }

  /** The snapshot of a key that is alive, with an owner who is; nothing else of it is judged and nothing is taken. */
  async findActive(secret: string): Promise<KeySnapshot | undefined> {
    const nowMs = this.clock.nowMs();
    const snapshot = await this.#find(secret, nowMs);
    const isAlive = snapshot?.isActive && snapshot.isOwnerActive && snapshot.expiresAtMs > nowMs;
    return isAlive ? snapshot : undefined;
  }

  /** The snapshot of a key, whatever may be wrong with it; undefined when there is none. */
  find(secret: string, nowMs: number): KeySnapshot | undefined | Promise<KeySnapshot | undefined> {
    return this.#find(secret, nowMs);
  }

  /**
   * What had to be waited for may be past when it comes: evicted meanwhile, or this process was stopped for a while. It
   * is in memory now, and looked for once more.
   */
  #find(
    secret: string,
    nowMs: number,
    attempt = 1,
  ): KeySnapshot | undefined | Promise<KeySnapshot | undefined> {
    const found = this.snapshots.find(secret, nowMs);
    if (!(found instanceof Promise) || attempt === MOST_ATTEMPTS) return found;
    return found.then(() => this.#find(secret, nowMs, attempt + 1));
  }

  /** The same for many and their budgets: when one had to be waited for, all are looked for once more. */
  async #findAll(questions: readonly Question[], nowMs: number, attempt = 1): Promise<FoundKey[]> {
    const snapshots = questions.map(({ secret }) => this.snapshots.find(secret, nowMs));
    const known = await Promise.all(snapshots.map(async (snapshot) => snapshot));
    const budgets = known.map((snapshot) => (snapshot === undefined ? NO_BUDGET : this.#budgetOf(snapshot)));
    const found = await Promise.all(
      budgets.map(async (budget, index) => ({ snapshot: known[index], budget: await budget })),
    );
    const hasWaited = [...snapshots, ...budgets].some((each) => each instanceof Promise);
    return hasWaited && attempt < MOST_ATTEMPTS ? this.#findAll(questions, nowMs, attempt + 1) : found;
  }

  #judge(
    snapshot: KeySnapshot | undefined,
    request: VerdictRequest,
    nowMs: number,
  ): Verdict | Promise<Verdict> {
    const budget = snapshot === undefined ? NO_BUDGET : this.#budgetOf(snapshot);
    return budget instanceof Promise
      ? budget.then((found) => this.#judgeWith(snapshot, found, request, nowMs))
      : this.#judgeWith(snapshot, budget, request, nowMs);
  }

  #budgetOf({ hasBudget, apiKeyId, line }: KeySnapshot): Budget | Promise<Budget> {
    return hasBudget ? this.budgets.find(apiKeyId, line) : NO_BUDGET;
  }

  #judgeWith(
    snapshot: KeySnapshot | undefined,
    budget: Budget,
    request: VerdictRequest,
    nowMs: number,
  ): Verdict | Promise<Verdict> {
    if (snapshot === undefined) return this.#notFound();
    const { hold } = request;
    if (hold !== undefined) return this.#judgeWithHold(snapshot, budget, { ...request, hold }, nowMs);
    const refusal = decide(snapshot, request, nowMs, budget);
    const cost = refusal === undefined ? request.cost : PEEK;
    const taken = takeFor(this.limiter, snapshot, cost, nowMs);
    return taken instanceof Promise
      ? taken.then((outcome) => this.#conclude(snapshot, request, refusal, outcome, budget, nowMs))
      : this.#conclude(snapshot, request, refusal, taken, budget, nowMs);
  }

  async #judgeWithHold(
    snapshot: KeySnapshot,
    known: Budget,
    request: VerdictRequest & { readonly hold: VerdictHold },
    nowMs: number,
  ): Promise<Verdict> {
    const judgement = await this.holds.judge(snapshot, request, nowMs, known);
    if (judgement === undefined) return this.#notFound();
    const { refusal, outcome, budget, holdId } = judgement;
    return this.#conclude(snapshot, request, refusal, outcome, budget, nowMs, holdId);
  }

  #conclude(
    snapshot: KeySnapshot,
    { cost }: VerdictRequest,
    refusal: Refusal | undefined,
    { allowed, windows, retryAfterSeconds }: TakeOutcome,
    budget: Budget,
    nowMs: number,
    holdId?: string,
  ): Verdict {
    const code = refusal ?? (allowed ? 'VALID' : 'RATE_LIMITED');
    this.counts.add(code);
    if (code === 'VALID' && cost > PEEK) this.lastUse.note(snapshot, nowMs);
    const waitSeconds = code === 'RATE_LIMITED' ? retryAfterSeconds : null;
    return { code, snapshot, windows, budget, holdId, retryAfterSeconds: waitSeconds, nowMs };
  }

  #notFound(): Verdict {
    this.counts.add('NOT_FOUND');
    return NOT_FOUND;
  }
}
