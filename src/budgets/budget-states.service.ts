import { setTimeout as sleep } from 'node:timers/promises';
import { Injectable } from '@nestjs/common';
import { LRUCache } from 'lru-cache';
import { AppError } from '../common/app-error.js';
import { GroupCommit } from '../common/group-commit.js';
import { ChangeFeed } from '../change-feed/change-feed.service.js';
import { DataPlanePool } from '../database/pools.js';
import {
  type Budget,
  type BudgetAccount,
  type BudgetLimit,
  type BudgetPlace,
  hasLimit,
  NO_BUDGET,
} from './budget.policy.js';
import { type BudgetRows, budgetsOf } from './budget-rows.js';

/** An account as it was read last, by whichever key; shared by all keys under it. */
interface AccountEntry {
  account: BudgetAccount;
  readAtMs: number;
}

/** An ancestor of a key. */
interface KeyOfLine {
  readonly apiKeyId: number;
}

interface KeyEntry {
  readonly accounts: readonly AccountEntry[];
  readonly hasOwn: boolean;
  readonly readAtMs: number;
}

/** Used at once up to this age, and beyond it while it is being read again. */
const FRESH_MS = 2_000;
/** Never used beyond this age. */
const USABLE_MS = 5_000;
/** How long a caller may wait for a state. */
const PATIENCE_MS = 300;
/** How long the transaction that sets a limit may take to commit. */
const LIMIT_CHANGE_MS = 5_000;
const MOST_KEYS = 200_000;
const MOST_PLACES = 20_000;
const MOST_IN_STATEMENT = 500;
const MOST_WAITING = 4_000;

/**
 * What budgets stand at, in memory: never older than five seconds, and current for what this instance itself changed.
 * Times are of the monotonic clock and count from before a reading was sent.
 */
@Injectable()
export class BudgetStates {
  readonly #keys = new LRUCache<number, KeyEntry>({ max: MOST_KEYS });
  readonly #accounts = new LRUCache<number, AccountEntry>({ max: MOST_KEYS });
  readonly #refreshing = new Set<number>();
  /** Keys whose limit is being changed here: until it is seen, what is read may be from before the commit. */
  readonly #expected = new LRUCache<number, BudgetLimit>({ max: MOST_KEYS, ttl: LIMIT_CHANGE_MS });
  /** For keys that came from these. One that was forgotten is read again with the accounts, every few seconds. */
  readonly #changedAtMs = new LRUCache<number, number>({ max: MOST_KEYS, ttl: USABLE_MS });
  /** For keys of these projects and organizations: `project:1`. */
  readonly #placesChangedAtMs = new LRUCache<string, number>({ max: MOST_PLACES, ttl: USABLE_MS });
  #anyPlaceChangedAtMs = 0;
  readonly #loads: GroupCommit<number, Budget>;

  constructor(
    private readonly pool: DataPlanePool,
    feed: ChangeFeed,
  ) {
    this.#loads = new GroupCommit({
      commit: (apiKeyIds) => this.#readAll(apiKeyIds),
      maxGroupSize: MOST_IN_STATEMENT,
      maxWaiting: MOST_WAITING,
      isRetried: false,
    });
    feed.subscribe((changes) => {
      for (const change of changes) {
        if (change.kind === 'api_key') {
          this.#keys.delete(change.id);
          this.#changedAtMs.set(change.id, performance.now());
        } else if (change.kind === 'everything') this.#keys.clear();
        else if (change.kind !== 'user') this.#notePlaceChange(placeName(change.kind, change.id));
      }
    });
  }

  /**
   * The budget of a key, synchronous when it is in memory. Its ancestors and its place are passed as well: one of them may
   * have been given a limit since.
   * @throws AppError `service.unavailable` when neither memory nor the database may answer
   */
  find(apiKeyId: number, line?: readonly KeyOfLine[], place?: BudgetPlace): Budget | Promise<Budget> {
    const entry = this.#keys.get(apiKeyId);
    if (entry === undefined || this.#expected.has(apiKeyId)) return this.#read(apiKeyId);
    if (line?.some((key) => this.#hasChangedSince(key.apiKeyId, entry.readAtMs))) return this.#read(apiKeyId);
    if (place !== undefined && this.#hasPlaceChangedSince(place, entry.readAtMs)) return this.#read(apiKeyId);
    const ageMs = performance.now() - readAtMsOf(entry);
    if (ageMs > USABLE_MS) return this.#read(apiKeyId);
    if (ageMs > FRESH_MS) this.#refresh(apiKeyId);
    return budgetOf(entry);
  }

  /** Takes over what a statement that was sent at `readAtMs` answered. */
  note(budgets: ReadonlyMap<number, Budget>, readAtMs: number): void {
    for (const [apiKeyId, budget] of budgets) {
      const accounts = budget.accounts.map((account) => this.#noteAccount(account, readAtMs));
      const expected = this.#expected.get(apiKeyId);
      if (expected !== undefined && hasLimit(budget, expected)) this.#expected.delete(apiKeyId);
      const known = this.#keys.get(apiKeyId);
      if (known === undefined || known.readAtMs <= readAtMs)
        this.#keys.set(apiKeyId, { accounts, hasOwn: budget.hasOwn, readAtMs });
    }
  }

  /** Tells that this instance is about to change the limit of a key: nothing older is used once that is committed. */
  expectLimit(apiKeyId: number, limit: BudgetLimit): void {
    this.#expected.set(apiKeyId, limit);
  }

  /** Of two readings the one with the higher revision is newer, whichever was sent or came first. */
  #noteAccount(account: BudgetAccount, readAtMs: number): AccountEntry {
    const known = this.#accounts.get(account.accountId);
    if (known === undefined) {
      const entry = { account, readAtMs };
      this.#accounts.set(account.accountId, entry);
      return entry;
    }
    const isNewer =
      account.revision > known.account.revision ||
      (account.revision === known.account.revision && readAtMs >= known.readAtMs) ||
      performance.now() - known.readAtMs > USABLE_MS;
    if (isNewer) {
      known.account = account;
      known.readAtMs = Math.max(known.readAtMs, readAtMs);
    }
    return known;
  }

  #hasChangedSince(apiKeyId: number, readAtMs: number): boolean {
    return this.#expected.has(apiKeyId) || (this.#changedAtMs.get(apiKeyId) ?? 0) >= readAtMs;
  }

  #notePlaceChange(name: string): void {
    this.#anyPlaceChangedAtMs = performance.now();
    this.#placesChangedAtMs.set(name, this.#anyPlaceChangedAtMs);
  }

  #hasPlaceChangedSince({ organizationId, projectId }: BudgetPlace, readAtMs: number): boolean {
    if (this.#anyPlaceChangedAtMs < readAtMs) return false;
    const names = [placeName('organization', organizationId), placeName('project', projectId)];
    return names.some((name) => (this.#placesChangedAtMs.get(name) ?? 0) >= readAtMs);
  }

  async #read(apiKeyId: number): Promise<Budget> {
    const patience = new AbortController();
    try {
      return await Promise.race([
        this.#loads.submit(apiKeyId),
        sleep(PATIENCE_MS, undefined, { signal: patience.signal }).then(() => {
          const detail = 'The state of the budget is not known, and the database does not answer.';
          throw new AppError('service.unavailable', detail, { retryAfterSeconds: 1 });
        }),
      ]);
    } finally {
      patience.abort();
    }
  }

  #refresh(apiKeyId: number): void {
    if (this.#refreshing.has(apiKeyId)) return;
    this.#refreshing.add(apiKeyId);
    // After a failure the state grows older; a verdict that needs it then fails.
    void this.#loads
      .submit(apiKeyId)
      .catch(() => undefined)
      .finally(() => this.#refreshing.delete(apiKeyId));
  }

  async #readAll(apiKeyIds: readonly number[]): Promise<Budget[]> {
    const sentAtMs = performance.now();
    const { rows } = await this.pool.query<{ states: BudgetRows }>({
      name: 'read_budget_states',
      text: 'SELECT budget_states($1::bigint[]) AS states',
      values: [[...new Set(apiKeyIds)]],
    });
    const budgets = budgetsOf(rows[0]?.states ?? null, apiKeyIds);
    this.note(budgets, sentAtMs);
    // What this instance has changed meanwhile is newer than what was read.
    return apiKeyIds.map((apiKeyId) => {
      const entry = this.#keys.get(apiKeyId);
      return entry === undefined ? (budgets.get(apiKeyId) ?? NO_BUDGET) : budgetOf(entry);
    });
  }
}

function placeName(kind: 'project' | 'organization', id: number | null): string {
  return `${kind}:${String(id)}`;
}

function budgetOf({ accounts, hasOwn }: KeyEntry): Budget {
  return { accounts: accounts.map(({ account }) => account), hasOwn };
}

function readAtMsOf({ accounts, readAtMs }: KeyEntry): number {
  let oldest = readAtMs;
  for (const account of accounts) if (account.readAtMs < oldest) oldest = account.readAtMs;
  return oldest;
}
