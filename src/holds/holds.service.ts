import { Injectable } from '@nestjs/common';
import { ApiKeyLineage } from '../api-keys/api-key-lineage.service.js';
import type { CachedKey } from '../api-keys/cached-key.js';
import { CachedKeys } from '../api-keys/cached-keys.service.js';
import type { Principal } from '../auth/principal.js';
import { HoldPolicies } from './hold-policies.queries.js';
import { ID_OF_NO_KEY, KeyReach } from '../api-keys/key-reach.service.js';
import { isReached, type Reach } from '../auth/reach.js';
import { BudgetLedger } from './budget-ledger.queries.js';
import { BudgetStates } from '../budgets/budget-states.service.js';
import type {
  HoldOutcome,
  HoldRefusal,
  HoldRequest,
  HoldStatus,
  HoldWithBudget,
  KeyRefusal,
} from './hold.js';
import type { Reporter } from '../usage/reporter.js';
import { AppError, validationFailed } from '../common/app-error.js';
import { Clock } from '../common/clock.js';
import type { UsageEvent } from '../usage/usage-event.js';
import { UsageRecorder } from '../usage/usage-recorder.service.js';

/** A hold to be taken, and the key it is for: by its id or by its secret. */
export type HoldTarget = { readonly request: Omit<HoldRequest, 'apiKeyId'> } & (
  { readonly kind: 'id'; readonly apiKeyId: number } | { readonly kind: 'secret'; readonly secret: string }
);

/** The event that replaces a hold. Key and request id may be given; the key must be that of the hold. */
export type Settlement = Omit<UsageEvent, 'apiKeyId'> & {
  readonly holdId: string;
  readonly apiKeyId: number | undefined;
};

/** What became of a hold that was asked for by somebody who knows the key. */
export type TakenHold = Extract<HoldOutcome, { readonly kind: 'granted' }> | HoldRefusal;

/**
 * The life of holds: granted, then settled, released or expired. Each step may be repeated, by the caller that took the
 * hold; other callers get 404. So does one who asks for a key beyond their reach.
 */
@Injectable()
export class HoldsService {
  constructor(
    private readonly ledger: BudgetLedger,
    private readonly budgets: BudgetStates,
    private readonly recorder: UsageRecorder,
    private readonly lineage: ApiKeyLineage,
    private readonly cachedKeys: CachedKeys,
    private readonly policies: HoldPolicies,
    private readonly keys: KeyReach,
    private readonly clock: Clock,
  ) {}

  /**
   * @throws AppError `api_key.not_found`, `budget_hold.key_refused` when a verdict would refuse the key,
   * `budget_hold.conflict` when the request id names a hold of another amount
   */
  async take(target: HoldTarget): Promise<TakenHold> {
    const { reach } = target.request.takenBy;
    const key =
      target.kind === 'id'
        ? { apiKeyId: await this.#reachedId(target.apiKeyId, reach) }
        : await this.#keyOf(target.secret, reach);
    const request = { ...target.request, apiKeyId: key.apiKeyId };
    if (await this.policies.isRefused(request, key)) throw keyRefused('POLICY_VIOLATION');
    const outcome = await this.ledger.grantHold(request);
    switch (outcome.kind) {
      case 'unknown_key':
        throw unknownKey();
      case 'key_refused':
        throw keyRefused(outcome.refusal);
      case 'conflict':
        throw new AppError('budget_hold.conflict', 'The request id names a hold of another amount.');
      case 'granted':
      case 'refused':
        return outcome;
    }
  }

  /**
   * Records what was really spent, in full, and ends the hold.
   * @throws AppError `budget_hold.not_found`, `budget_hold.conflict` when it was released, or settled with another cost
   */
  async settle(settlement: Settlement, reporter: Reporter): Promise<HoldWithBudget> {
    const { holdId, costMicroCents } = settlement;
    const { hold } = await this.#find(holdId, reporter);
    if (!(await this.keys.contains(reporter.reach, hold.apiKeyId))) throw unknownHold();
    if (settlement.apiKeyId !== undefined && settlement.apiKeyId !== hold.apiKeyId)
      throw validationFailed([{ field: 'api_key_id', message: 'must be the key of the hold' }]);
    const [status] = await this.recorder.record([{ ...settlement, apiKeyId: hold.apiKeyId }], reporter);
    if (status === 'accepted') {
      const budget = await this.budgets.find(hold.apiKeyId);
      return { hold: { ...hold, status: 'settled', costMicroCents }, budget };
    }
    const found = await this.#find(holdId, reporter);
    if (found.hold.status === 'settled' && found.hold.costMicroCents === costMicroCents) return found;
    throw conflict(found.hold.status, 'settled');
  }

  /** @throws AppError `budget_hold.not_found`, `budget_hold.conflict` when it is settled */
  async release(holdId: string, reporter: Reporter): Promise<HoldWithBudget> {
    if (!(await this.#reaches(holdId, reporter))) throw unknownHold();
    return requireReleased(await this.ledger.release(holdId, reporter, reporter.authority));
  }

  /**
   * Gives a hold back that anyone took, of a key that `anyone` reaches, or else one that the caller took as `own`.
   * @throws AppError as `release`, and `permission.denied` for a key in whose own budget it counts
   */
  async releaseAny(
    holdId: string,
    principal: Principal,
    own: Reporter,
    anyone: Reporter,
  ): Promise<HoldWithBudget> {
    if (!(await this.#reaches(holdId, anyone))) return this.release(holdId, own);
    const released = await this.ledger.release(holdId, anyone, anyone.authority);
    if (released !== undefined) return requireReleased(released);
    const { hold } = await this.#find(holdId, 'anyone');
    await this.lineage.requireMayTakeBack(principal, hold.apiKeyId);
    return requireReleased(await this.ledger.release(holdId, 'anyone', anyone.authority));
  }

  /** @throws AppError `budget_hold.not_found`, `budget_hold.conflict` when it is held no more */
  async extend(holdId: string, ttlSeconds: number, reporter: Reporter): Promise<HoldWithBudget> {
    if (!(await this.#reaches(holdId, reporter))) throw unknownHold();
    const found = required(await this.ledger.extend(holdId, ttlSeconds, reporter));
    if (found.hold.status !== 'held') throw conflict(found.hold.status, 'extended');
    return found;
  }

  async #find(holdId: string, reporter: Reporter | 'anyone'): Promise<HoldWithBudget> {
    return required(await this.ledger.find(holdId, reporter));
  }

  /** Whether the key of a hold lies within the reach of a caller; true where there is no such hold and they reach all. */
  async #reaches(holdId: string, { reach }: Reporter): Promise<boolean> {
    if (reach === undefined) return true;
    const found = await this.ledger.find(holdId, 'anyone');
    return found !== undefined && this.keys.contains(reach, found.hold.apiKeyId);
  }

  /** What lies beyond the reach takes the way of an unknown key. */
  async #reachedId(apiKeyId: number, reach: Reach): Promise<number> {
    return (await this.keys.contains(reach, apiKeyId)) ? apiKeyId : ID_OF_NO_KEY;
  }

  async #keyOf(secret: string, reach: Reach): Promise<CachedKey> {
    const cachedKey = await this.cachedKeys.find(secret, this.clock.nowMs());
    if (cachedKey === undefined || !isReached(reach, cachedKey)) throw unknownKey();
    return cachedKey;
  }
}

function requireReleased(found: HoldWithBudget | undefined): HoldWithBudget {
  const released = required(found);
  if (released.hold.status === 'settled') throw conflict('settled', 'released');
  return released;
}

function required(found: HoldWithBudget | undefined): HoldWithBudget {
  if (found === undefined) throw unknownHold();
  return found;
}

function unknownHold(): AppError {
  return new AppError('budget_hold.not_found', 'There is no such hold.');
}

function unknownKey(): AppError {
  return new AppError('api_key.not_found', 'API key not found');
}

function keyRefused(refusal: KeyRefusal): AppError {
  return new AppError('budget_hold.key_refused', REFUSALS[refusal], { members: { verdict: refusal } });
}

const REFUSALS: Readonly<Record<KeyRefusal, string>> = {
  DISABLED: 'The API key is not active.',
  EXPIRED: 'The API key has expired.',
  POLICY_VIOLATION: 'The API key breaks a policy of its organization or project.',
};

function conflict(status: HoldStatus, wanted: string): AppError {
  return new AppError('budget_hold.conflict', CONFLICTS[status].replace('…', wanted));
}

const CONFLICTS: Readonly<Record<HoldStatus, string>> = {
  held: 'Another event was recorded with this request id; the hold was not …, and is still held.',
  settled: 'The hold is already settled and cannot be ….',
  released: 'The hold was released, and cannot be ….',
  expired: 'The hold has expired, and cannot be ….',
};
