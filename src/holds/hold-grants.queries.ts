import { Injectable } from '@nestjs/common';
import type { Counter } from 'prom-client';
import { PinnedConnection } from '../database/pinned-connection.js';
import { MeteringPool } from '../database/pools.js';
import { Metrics } from '../observability/metrics.service.js';
import { type BudgetRows, budgetsOf } from '../budgets/budget-rows.js';
import { BudgetStates } from '../budgets/budget-states.service.js';
import { type Budget, NO_BUDGET } from '../budgets/budget.policy.js';
import {
  type HoldOutcome,
  type HoldRefusalReason,
  type HoldRequest,
  holdStatusOf,
  type StoredHoldStatus,
} from './hold.js';
import { HoldSweeper } from './hold-sweeper.service.js';
import { reporterNumber } from '../usage/reporter.js';

type IdentifiedRequest = HoldRequest & { readonly id: string };

interface GrantedRow {
  readonly outcome: 'granted' | 'existing';
  readonly id: string;
  readonly status: StoredHoldStatus;
  readonly amount: string | bigint;
  readonly expires_at: Date;
}

interface RefusedRow {
  readonly outcome: HoldRefusalReason;
  readonly wait_seconds: number | null;
}

type GrantRow = GrantedRow | RefusedRow | { readonly outcome: 'unknown_key' | 'disabled' | 'expired' };

/** Stands for the rows of all when all are granted. */
interface AllGrantedRow {
  readonly outcome: 'all_granted';
  /** The moment from which their seconds count. */
  readonly expires_at: Date;
}

type Answer = (GrantRow | AllGrantedRow) & { readonly states: BudgetRows };

const GRANT_HOLDS = {
  name: 'grant_holds',
  text: `
    SELECT outcome, wait_seconds, id, status, amount, expires_at, states
    FROM grant_holds($1::uuid[], $2::bigint[], $3::bigint[], $4::integer[], $5::text[], $6::bigint[], $7::bigint[]) ORDER BY n`,
};

/** Grants many holds in one statement, in the order in which they were asked for. */
@Injectable()
export class HoldGrants {
  readonly #connection: PinnedConnection;
  readonly #outcomes: Counter<'outcome'>;

  constructor(
    pool: MeteringPool,
    private readonly states: BudgetStates,
    private readonly sweeper: HoldSweeper,
    metrics: Metrics,
  ) {
    this.#connection = new PinnedConnection(pool);
    this.#outcomes = metrics.counter({
      name: 'latchkey_budget_holds_total',
      help: 'Requests for holds, by outcome: granted, existing (a repeat), or why one was refused.',
      labelNames: ['outcome'],
    });
  }

  /** Nothing is refused for the sake of a hold whose time is over: such holds are swept, and it is asked once more. */
  async grantAll(requests: readonly IdentifiedRequest[]): Promise<HoldOutcome[]> {
    const rows = await this.#ask(requests);
    const liftable = rows.flatMap((row, index) => (isLiftable(row) ? [index] : []));
    const again = liftable.map((index) => requests[index] as IdentifiedRequest);
    if (again.length > 0) {
      await this.sweeper.sweepKeys([...new Set(again.map(({ apiKeyId }) => apiKeyId))]);
      const secondRows = await this.#ask(again);
      for (const [place, index] of liftable.entries()) rows[index] = secondRows[place] as AnsweredRow;
    }
    this.#count(rows);
    return rows.map((row, index) => toOutcome(row, requests[index] as IdentifiedRequest));
  }

  /** Once for each outcome: naming one costs more than counting does. */
  #count(rows: readonly AnsweredRow[]): void {
    const counts = new Map<AnsweredRow['outcome'], number>();
    for (const { outcome } of rows) counts.set(outcome, (counts.get(outcome) ?? 0) + 1);
    for (const [outcome, count] of counts) this.#outcomes.inc({ outcome }, count);
  }

  async #ask(requests: readonly IdentifiedRequest[]): Promise<AnsweredRow[]> {
    const sentAtMs = performance.now();
    const apiKeyIds = requests.map(({ apiKeyId }) => apiKeyId);
    const { rows: answers } = await this.#connection.query<Answer>({
      ...GRANT_HOLDS,
      values: [
        requests.map(({ id }) => id),
        apiKeyIds,
        requests.map(({ amountMicroCents }) => amountMicroCents.toString()),
        requests.map(({ ttlSeconds }) => ttlSeconds),
        requests.map(({ requestId }) => requestId),
        requests.map(({ takenBy }) => takenBy.userId),
        requests.map(({ takenBy }) => reporterNumber(takenBy)),
      ],
    });
    const [first] = answers;
    const budgets = budgetsOf(first?.states ?? null, apiKeyIds);
    this.states.note(budgets, sentAtMs);
    const rows: readonly GrantRow[] =
      first?.outcome === 'all_granted'
        ? requests.map((request) => grantedWithAll(request, first))
        : (answers as readonly GrantRow[]);
    return rows.map((row, index) => ({ ...row, budget: budgets.get(apiKeyIds[index] ?? 0) ?? NO_BUDGET }));
  }
}

type AnsweredRow = GrantRow & { readonly budget: Budget };

function grantedWithAll(
  { id, amountMicroCents, ttlSeconds }: IdentifiedRequest,
  { expires_at: from }: AllGrantedRow,
): GrantedRow {
  const expiresAt = new Date(from.getTime() + ttlSeconds * 1_000);
  return { outcome: 'granted', id, status: 'held', amount: amountMicroCents, expires_at: expiresAt };
}

function isLiftable(row: GrantRow): boolean {
  return row.outcome === 'held' && row.wait_seconds !== null && row.wait_seconds <= 0;
}

function toOutcome(row: AnsweredRow, { apiKeyId, amountMicroCents }: IdentifiedRequest): HoldOutcome {
  const { budget } = row;
  switch (row.outcome) {
    case 'granted':
    case 'existing': {
      const { id, status, amount, expires_at: expiresAt } = row;
      if (BigInt(amount) !== amountMicroCents) return { kind: 'conflict' };
      const hold = {
        id,
        apiKeyId,
        status: holdStatusOf(status),
        amountMicroCents,
        costMicroCents: null,
        expiresAt,
      };
      return { kind: 'granted', hold, budget };
    }
    case 'unknown_key':
      return { kind: 'unknown_key' };
    case 'disabled':
      return { kind: 'key_refused', refusal: 'DISABLED', budget };
    case 'expired':
      return { kind: 'key_refused', refusal: 'EXPIRED', budget };
    case 'amount_exceeds_limit':
    case 'budget_exhausted':
      return { kind: 'refused', reason: row.outcome, retryAfterSeconds: null, budget };
    case 'held':
      return {
        kind: 'refused',
        reason: 'held',
        retryAfterSeconds: Math.max(1, row.wait_seconds ?? 1),
        budget,
      };
  }
}
