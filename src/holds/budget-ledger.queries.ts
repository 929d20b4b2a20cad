import { Injectable, type OnModuleDestroy } from '@nestjs/common';
import type { Authority } from '../common/authority.js';
import { GroupCommit } from '../common/group-commit.js';
import { uuidV7 } from '../common/uuid.js';
import { STATEMENTS_PER_CONNECTION } from '../database/pinned-connection.js';
import { MeteringPool } from '../database/pools.js';
import { type BudgetRows, budgetsOf } from '../budgets/budget-rows.js';
import { BudgetStates } from '../budgets/budget-states.service.js';
import { HoldGrants } from './hold-grants.queries.js';
import { NO_BUDGET } from '../budgets/budget.policy.js';
import {
  holdStatusOf,
  type HoldOutcome,
  type HoldRequest,
  type HoldWithBudget,
  type StoredHoldStatus,
} from './hold.js';
import { type Reporter, reporterNumber } from '../usage/reporter.js';

interface HoldRow {
  readonly id: string;
  readonly api_key_id: number;
  /** Null when it is not known who took it. */
  readonly taken_by: number | null;
  readonly status: StoredHoldStatus;
  readonly amount: string;
  readonly cost: string | null;
  readonly expires_at: Date;
  readonly states: BudgetRows;
}

/** A hold and the reporter that requests it; null for a caller that may see any. */
interface AskedHold {
  readonly holdId: string;
  readonly reporter: number | null;
  readonly authority: Authority | undefined;
}

interface Extension extends AskedHold {
  readonly ttlSeconds: number;
}

const COLUMNS = 'id, api_key_id, taken_by, status, amount, cost, expires_at, states';

/**
 * The ledger of holds. Callers of the same moment share a statement; each is answered after its commit, and what the
 * budgets then stand at is known to this instance at once.
 */
@Injectable()
export class BudgetLedger implements OnModuleDestroy {
  readonly #grants: GroupCommit<HoldRequest & { readonly id: string }, HoldOutcome>;
  readonly #finds: GroupCommit<AskedHold, HoldWithBudget | undefined>;
  readonly #releases: GroupCommit<AskedHold, HoldWithBudget | undefined>;
  readonly #extensions: GroupCommit<Extension, HoldWithBudget | undefined>;

  constructor(
    private readonly pool: MeteringPool,
    private readonly states: BudgetStates,
    grants: HoldGrants,
  ) {
    this.#grants = new GroupCommit({
      commit: (requests) => grants.grantAll(requests),
      authorityOf: ({ takenBy }) => takenBy.authority,
      statements: STATEMENTS_PER_CONNECTION,
    });
    this.#finds = new GroupCommit({
      commit: (holds) =>
        this.#query('find_holds', `SELECT ${COLUMNS} FROM find_holds($1::uuid[], $2::bigint[])`, holds),
    });
    this.#releases = new GroupCommit({
      authorityOf: ({ authority }) => authority,
      commit: (holds) =>
        this.#query('release_holds', `SELECT ${COLUMNS} FROM release_holds($1::uuid[], $2::bigint[])`, holds),
    });
    this.#extensions = new GroupCommit({
      authorityOf: ({ authority }) => authority,
      commit: (extensions) =>
        this.#query(
          'extend_holds',
          `SELECT ${COLUMNS} FROM extend_holds($1::uuid[], $3::integer[], $2::bigint[])`,
          extensions,
          extensions.map(({ ttlSeconds }) => ttlSeconds),
        ),
    });
  }

  /** Sets an amount aside, or tells why not. The id is made here, so that a grant of unknown outcome may be repeated. */
  grantHold(request: HoldRequest): Promise<HoldOutcome> {
    return this.#grants.submit({ ...request, id: uuidV7() });
  }

  /** Undefined when the reporter has no such hold; for `anyone` when there is none. */
  find(holdId: string, reporter: Reporter | 'anyone'): Promise<HoldWithBudget | undefined> {
    return this.#finds.submit({ holdId, reporter: numberOf(reporter), authority: undefined });
  }

  /**
   * Releases a hold, unless it is settled or has expired; see its status. Undefined when the reporter has no such hold,
   * or, for `anyone`, when there is none. `authority` is judged again when the release has to wait.
   */
  release(
    holdId: string,
    reporter: Reporter | 'anyone',
    authority?: Authority,
  ): Promise<HoldWithBudget | undefined> {
    return this.#releases.submit({ holdId, reporter: numberOf(reporter), authority });
  }

  /** Extends a hold that is still held to at least this long from now. Undefined when the reporter has no such hold. */
  extend(holdId: string, ttlSeconds: number, reporter: Reporter): Promise<HoldWithBudget | undefined> {
    const { authority } = reporter;
    return this.#extensions.submit({ holdId, ttlSeconds, reporter: reporterNumber(reporter), authority });
  }

  async onModuleDestroy(): Promise<void> {
    await Promise.all(
      [this.#grants, this.#finds, this.#releases, this.#extensions].map((group) => group.drain()),
    );
  }

  async #query(
    name: string,
    text: string,
    asked: readonly AskedHold[],
    ttlSeconds?: readonly number[],
  ): Promise<(HoldWithBudget | undefined)[]> {
    const sentAtMs = performance.now();
    const values = [
      asked.map(({ holdId }) => holdId),
      asked.map(({ reporter }) => reporter),
      ...(ttlSeconds === undefined ? [] : [ttlSeconds]),
    ];
    const { rows } = await this.pool.query<HoldRow>({ name, text, values });
    const budgets = budgetsOf(
      rows[0]?.states ?? null,
      rows.map((row) => row.api_key_id),
    );
    this.states.note(budgets, sentAtMs);
    const found = new Map(rows.map((row) => [row.id, row]));
    return asked.map(({ holdId, reporter }) => {
      const row = found.get(holdId.toLowerCase());
      // The caller that took a hold and others may request it at the same time.
      const isTheirs = reporter === null || row?.taken_by === null || row?.taken_by === reporter;
      if (row === undefined || !isTheirs) return undefined;
      return { hold: toHold(row), budget: budgets.get(row.api_key_id) ?? NO_BUDGET };
    });
  }
}

function numberOf(reporter: Reporter | 'anyone'): number | null {
  return reporter === 'anyone' ? null : reporterNumber(reporter);
}

function toHold(row: HoldRow): HoldWithBudget['hold'] {
  return {
    id: row.id,
    apiKeyId: row.api_key_id,
    status: holdStatusOf(row.status),
    amountMicroCents: BigInt(row.amount),
    costMicroCents: row.cost === null ? null : BigInt(row.cost),
    expiresAt: row.expires_at,
  };
}
