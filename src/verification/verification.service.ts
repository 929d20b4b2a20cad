import { Injectable } from '@nestjs/common';
import { LastUse } from '../api-keys/last-use.js';
import type { KeySnapshot } from '../api-keys/snapshot.js';
import { Snapshots } from '../api-keys/snapshots.js';
import { Clock } from '../common/clock.js';
import { RateLimiter } from '../rate-limits/rate-limiter.js';
import type { TakeOutcome, WindowState } from '../rate-limits/rate-windows.policy.js';
import { VerdictCounts } from './verdict-counts.js';
import { decide, RULES, type VerdictCode, type VerdictRequest } from './verdict.js';

/** The answer to "may this key do this now?". Whole for every code but `NOT_FOUND`. */
export type Verdict =
  | { readonly code: 'NOT_FOUND' }
  | {
      readonly code: Exclude<VerdictCode, 'NOT_FOUND'>;
      readonly snapshot: KeySnapshot;
      readonly windows: readonly WindowState[];
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

/** One rule of a verdict with what it compared. */
export interface ExplainedRule {
  readonly code: VerdictCode;
  readonly passed: boolean;
  readonly inputs: Readonly<Record<string, unknown>>;
}

/** A verdict, with every rule looked at although the first refusal would do. */
export interface Explanation {
  readonly verdict: Verdict;
  readonly rules: readonly ExplainedRule[];
}

const NOT_FOUND: Verdict = { code: 'NOT_FOUND' };
const LOOK = 0;

/** Judges keys: parse, find, decide, take. Synchronous as long as everything needed is in memory. */
@Injectable()
export class VerificationService {
  constructor(
    private readonly snapshots: Snapshots,
    private readonly limiter: RateLimiter,
    private readonly counts: VerdictCounts,
    private readonly lastUse: LastUse,
    private readonly clock: Clock,
  ) {}

  /** @throws AppError `service.unavailable` when neither memory nor the database may answer */
  verify(secret: string, request: VerdictRequest): Verdict | Promise<Verdict> {
    const nowMs = this.clock.now().getTime();
    const found = this.snapshots.find(secret, nowMs);
    if (found instanceof Promise) return found.then((snapshot) => this.#judge(snapshot, request, nowMs));
    return this.#judge(found, request, nowMs);
  }

  /**
   * Judges many at once. Nothing is taken before every key was found, so that a database that is away for one of them
   * costs the others nothing.
   * @throws AppError `service.unavailable`
   */
  async verifyAll(questions: readonly Question[]): Promise<Verdict[]> {
    const nowMs = this.clock.now().getTime();
    const found = questions.map(({ secret }) => this.snapshots.find(secret, nowMs));
    const loading = found.filter((snapshot) => snapshot instanceof Promise);
    if (loading.length > 0) {
      await Promise.all(loading);
      // What was in memory may have been evicted meanwhile, so it is looked for once more.
      return Promise.all(questions.map(async ({ secret, request }) => this.verify(secret, request)));
    }
    const snapshots = found as (KeySnapshot | undefined)[];
    return Promise.all(
      questions.map(async ({ request }, index) => this.#judge(snapshots[index], request, nowMs)),
    );
  }

  /** The snapshot of a key that is alive, with an owner who is; nothing else of it is judged and nothing is taken. */
  async findActive(secret: string): Promise<KeySnapshot | undefined> {
    const nowMs = this.clock.now().getTime();
    const snapshot = await this.snapshots.find(secret, nowMs);
    const isAlive = snapshot?.isActive && snapshot.isOwnerActive && snapshot.expiresAtMs > nowMs;
    return isAlive ? snapshot : undefined;
  }

  /** The same verdict without taking anything, and how each rule came to its result. */
  async explain(secret: string, request: VerdictRequest): Promise<Explanation> {
    const nowMs = this.clock.now().getTime();
    const snapshot = await this.snapshots.find(secret, nowMs);
    if (snapshot === undefined) {
      return { verdict: NOT_FOUND, rules: [{ code: 'NOT_FOUND', passed: false, inputs: {} }] };
    }
    const { windows, retryAfterSeconds } = await this.limiter.take(
      snapshot.apiKeyId,
      snapshot.rateLimits,
      LOOK,
      nowMs,
    );
    const isLimited = windows.some(({ remaining }) => remaining < Math.max(1, request.cost));
    const rules: ExplainedRule[] = RULES.map((rule) => ({
      code: rule.refusal,
      passed: rule.passes(snapshot, request, nowMs),
      inputs: rule.inputs(snapshot, request, nowMs),
    }));
    const remaining = windows.map(({ window, limit, remaining: left }) => ({
      window,
      limit,
      remaining: left,
    }));
    rules.push({
      code: 'RATE_LIMITED',
      passed: !isLimited,
      inputs: { cost: request.cost, windows: remaining },
    });
    const code = decide(snapshot, request, nowMs) ?? (isLimited ? 'RATE_LIMITED' : 'VALID');
    return { verdict: { code, snapshot, windows, retryAfterSeconds, nowMs }, rules };
  }

  #judge(
    snapshot: KeySnapshot | undefined,
    request: VerdictRequest,
    nowMs: number,
  ): Verdict | Promise<Verdict> {
    if (snapshot === undefined) {
      this.counts.add('NOT_FOUND');
      return NOT_FOUND;
    }
    const refusal = decide(snapshot, request, nowMs);
    const cost = refusal === undefined ? request.cost : LOOK;
    const taken = this.limiter.take(snapshot.apiKeyId, snapshot.rateLimits, cost, nowMs);
    const conclude = (outcome: TakeOutcome): Verdict => {
      const code = refusal ?? (outcome.allowed ? 'VALID' : 'RATE_LIMITED');
      this.counts.add(code);
      if (code === 'VALID' && cost > LOOK) this.lastUse.note(snapshot.apiKeyId, nowMs);
      const retryAfterSeconds = code === 'RATE_LIMITED' ? outcome.retryAfterSeconds : null;
      return { code, snapshot, windows: outcome.windows, retryAfterSeconds, nowMs };
    };
    return taken instanceof Promise ? taken.then(conclude) : conclude(taken);
  }
}
