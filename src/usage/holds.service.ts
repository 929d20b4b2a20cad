import { Injectable } from '@nestjs/common';
import { Snapshots } from '../api-keys/snapshots.js';
import { BudgetLedger } from '../budgets/budget-ledger.js';
import { BudgetStates } from '../budgets/budget-states.js';
import type { HoldOutcome, HoldRequest, HoldStatus, HoldWithBudget } from '../budgets/hold.js';
import { AppError, validationFailed } from '../common/app-error.js';
import { Clock } from '../common/clock.js';
import type { UsageEvent } from './usage-event.js';
import { rejectionOf } from './usage-ingestion.service.js';
import { UsageRecorder } from './usage-recorder.js';

/** A hold to be taken, and the key it is for: by its id or by its secret. */
export type HoldTarget = { readonly request: Omit<HoldRequest, 'apiKeyId'> } & (
  { readonly kind: 'id'; readonly apiKeyId: number } | { readonly kind: 'secret'; readonly secret: string }
);

/** The event that replaces a hold. The key is that of the hold, and may be told. */
export type Settlement = Omit<UsageEvent, 'apiKeyId'> & {
  readonly holdId: string;
  readonly apiKeyId: number | undefined;
};

/** What became of a hold that was asked for by somebody who knows the key. */
export type TakenHold = Exclude<HoldOutcome, { readonly kind: 'unknown_key' }>;

/** Holds, over their life: taken, then settled, released or lapsed. Each step may be repeated. */
@Injectable()
export class HoldsService {
  constructor(
    private readonly ledger: BudgetLedger,
    private readonly budgets: BudgetStates,
    private readonly recorder: UsageRecorder,
    private readonly snapshots: Snapshots,
    private readonly clock: Clock,
  ) {}

  /** @throws AppError `api_key.not_found` */
  async take(target: HoldTarget): Promise<TakenHold> {
    const apiKeyId = target.kind === 'id' ? target.apiKeyId : await this.#idOf(target.secret);
    const outcome = await this.ledger.grantHold({ ...target.request, apiKeyId });
    if (outcome.kind === 'unknown_key') throw unknownKey();
    return outcome;
  }

  /**
   * Records what was really spent, in full, and ends the hold.
   * @throws AppError `budget_hold.not_found`, `budget_hold.conflict` when it was released, or settled with another cost
   */
  async settle(settlement: Settlement): Promise<HoldWithBudget> {
    const { holdId, costMicroCents } = settlement;
    const { hold } = await this.#find(holdId);
    if (settlement.apiKeyId !== undefined && settlement.apiKeyId !== hold.apiKeyId)
      throw validationFailed([{ field: 'api_key_id', message: 'must be the key of the hold' }]);
    const [status] = await this.recorder.record([{ ...settlement, apiKeyId: hold.apiKeyId }]);
    if (status === 'accepted') {
      const budget = await this.budgets.find(hold.apiKeyId);
      return { hold: { ...hold, status: 'settled', costMicroCents }, budget };
    }
    const rejection = status === 'uncountable' ? rejectionOf(status) : undefined;
    if (rejection !== undefined) throw validationFailed([rejection]);
    const found = await this.#find(holdId);
    if (found.hold.status === 'settled' && found.hold.costMicroCents === costMicroCents) return found;
    throw conflict(found.hold.status, 'settled');
  }

  /** @throws AppError `budget_hold.not_found`, `budget_hold.conflict` when it is settled */
  async release(holdId: string): Promise<HoldWithBudget> {
    const found = required(await this.ledger.release(holdId));
    if (found.hold.status === 'settled') throw conflict('settled', 'released');
    return found;
  }

  /** @throws AppError `budget_hold.not_found`, `budget_hold.conflict` when it is held no more */
  async extend(holdId: string, ttlSeconds: number): Promise<HoldWithBudget> {
    const found = required(await this.ledger.extend(holdId, ttlSeconds));
    if (found.hold.status !== 'held') throw conflict(found.hold.status, 'extended');
    return found;
  }

  async #find(holdId: string): Promise<HoldWithBudget> {
    return required(await this.ledger.find(holdId));
  }

  async #idOf(secret: string): Promise<number> {
    const snapshot = await this.snapshots.find(secret, this.clock.now().getTime());
    if (snapshot === undefined) throw unknownKey();
    return snapshot.apiKeyId;
  }
}

function required(found: HoldWithBudget | undefined): HoldWithBudget {
  if (found === undefined) throw new AppError('budget_hold.not_found', 'There is no such hold.');
  return found;
}

function unknownKey(): AppError {
  return new AppError('api_key.not_found', 'API key not found');
}

function conflict(status: HoldStatus, wanted: string): AppError {
  return new AppError('budget_hold.conflict', CONFLICTS[status].replace('…', wanted));
}

const CONFLICTS: Readonly<Record<HoldStatus, string>> = {
  held: 'Another event was recorded with this request id; the hold was not …, and is still held.',
  settled: 'The hold was settled before, and cannot be … like this.',
  released: 'The hold was released, and cannot be ….',
  lapsed: 'The hold has lapsed, and cannot be ….',
};
