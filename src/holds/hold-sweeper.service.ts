import { Injectable } from '@nestjs/common';
import type { PoolClient } from 'pg';
import { uuidV7 } from '../common/uuid.js';
import { Maintenance } from '../jobs/maintenance.service.js';
import { MeteringPool } from '../database/pools.js';
import { type BudgetRows, budgetsOf } from '../budgets/budget-rows.js';
import { BudgetStates } from '../budgets/budget-states.service.js';

const SWEEP_EVERY_SECONDS = 2;
/** Holds closed by one statement: it keeps their accounts locked meanwhile. */
const SWEPT_AT_ONCE = 500;
/** How long a hold that is closed can still be asked for, and its request id repeated. */
const KEPT_DAYS = 30;
const KEPT_MS = KEPT_DAYS * 86_400_000;
const EXPIRE_EVERY_SECONDS = 600;
const EXPIRED_AT_ONCE = 20_000;

/** Closes holds that have expired, and deletes holds that were closed long ago. */
@Injectable()
export class HoldSweeper {
  constructor(
    private readonly pool: MeteringPool,
    private readonly states: BudgetStates,
    maintenance: Maintenance,
  ) {
    // Each sweep is a transaction of its own: two in one would lock accounts out of their order.
    maintenance.register({
      name: 'expire-holds',
      purpose: 'returns the amounts of expired holds to their budgets',
      everySeconds: SWEEP_EVERY_SECONDS,
      isDestructive: false,
      run: () => this.#sweep(null),
    });
    maintenance.register({
      name: 'expire-closed-holds',
      purpose: 'deletes holds that were closed 30 days ago',
      everySeconds: EXPIRE_EVERY_SECONDS,
      isDestructive: true,
      run: expireClosedHolds,
    });
    maintenance.register({
      name: 'expire-budget-periods',
      purpose: 'deletes months of budgets that ended 100 days ago, or that began while the clock was ahead',
      everySeconds: 3_600,
      isDestructive: true,
      run: async (client) => {
        // Periods in the future began while the clock was ahead. The next month stays: at the turn of a month a clock may go
        // back a little.
        await client.query(`
          DELETE FROM budget_periods WHERE period_start < budget_month(now()) - interval '100 days'
            OR period_start > budget_month(now()) + interval '40 days'`);
      },
    });
  }

  /** Sweeps every hold that stands in the way of these keys. */
  async sweepKeys(apiKeyIds: readonly number[]): Promise<void> {
    await this.#sweep(apiKeyIds);
  }

  async #sweep(apiKeyIds: readonly number[] | null): Promise<void> {
    for (let swept = SWEPT_AT_ONCE; swept >= SWEPT_AT_ONCE;) {
      const sentAtMs = performance.now();
      const { rows } = await this.pool.query<{ swept: number; states: BudgetRows }>({
        name: 'sweep_lapsed_holds',
        text: 'SELECT swept, states FROM sweep_lapsed_holds($1, $2::bigint[])',
        values: [SWEPT_AT_ONCE, apiKeyIds],
      });
      const states = rows[0]?.states ?? {};
      this.states.note(budgetsOf(states, Object.keys(states).map(Number)), sentAtMs);
      swept = rows[0]?.swept ?? 0;
    }
  }
}

/** Ids begin with the time they were made at, so the oldest are found without an index of their own. */
async function expireClosedHolds(client: PoolClient): Promise<'more' | void> {
  const { rowCount } = await client.query(
    `DELETE FROM budget_holds WHERE id IN (
       SELECT id FROM budget_holds
       WHERE id < $1 AND status <> 'held' AND closed_at < now() - $2 * interval '1 day'
       ORDER BY id LIMIT $3 FOR UPDATE SKIP LOCKED)`,
    [uuidV7(Date.now() - KEPT_MS), KEPT_DAYS, EXPIRED_AT_ONCE],
  );
  return rowCount === EXPIRED_AT_ONCE ? 'more' : undefined;
}
