import { Injectable } from '@nestjs/common';
import { TransactionHost } from '@nestjs-cls/transactional';
import type { TransactionalAdapterTypeOrm } from '@nestjs-cls/transactional-adapter-typeorm';
import { ApiKeyLineage } from '../api-keys/api-key-lineage.service.js';
import { actorOf, type Principal } from '../auth/principal.js';
import { type BudgetRows, budgetsOf } from '../budgets/budget-rows.js';
import { BudgetStates } from '../budgets/budget-states.service.js';
import { AppError } from '../common/app-error.js';
import { decimalCentsFromMicroCents } from '../common/money.js';
import { runPrepared } from '../database/prepared-statement.js';
import { Change } from '../events/change.decorator.js';
import { EventPublisher } from '../events/event-publisher.service.js';
import { type EventRow, type RecordedEvent, SELECT_EVENTS, toRecordedEvent } from './usage-events.queries.js';

interface ReversedRow {
  readonly is_found: boolean;
  /** False when it had been reversed before. */
  readonly is_new: boolean;
  /** What the budgets of the key stand at now. */
  readonly states: BudgetRows;
}

interface Reversed {
  readonly event: RecordedEvent;
  readonly states: BudgetRows;
}

const REVERSE = {
  name: 'reverse_usage',
  text: 'SELECT is_found, is_new, states FROM reverse_usage($1, $2, $3)',
};
const READ_EVENT = { name: 'read_usage_event', text: `${SELECT_EVENTS} WHERE events.id = $1` };

/** Reverses wrong events. The event stays, marked as reversed. */
@Injectable()
export class UsageReversals {
  constructor(
    private readonly transactions: TransactionHost<TransactionalAdapterTypeOrm>,
    private readonly lineage: ApiKeyLineage,
    private readonly budgets: BudgetStates,
    private readonly events: EventPublisher,
  ) {}

  /**
   * Subtracts an event from all sums, and from what its budgets have spent in the period it was charged to, as far as that
   * is kept. Idempotent: a repeat returns the same.
   * @throws AppError `usage_event.not_found`, `permission.denied` for a key in whose own budget it counts
   */
  async reverse(principal: Principal, eventId: number): Promise<RecordedEvent> {
    const sentAtMs = performance.now();
    const { event, states } = await this.change(principal, eventId);
    this.budgets.note(budgetsOf(states, [event.apiKeyId]), sentAtMs);
    return event;
  }

  @Change()
  protected async change(principal: Principal, eventId: number): Promise<Reversed> {
    const { userId, apiKeyId } = actorOf(principal);
    const [reversed] = await runPrepared<ReversedRow>(this.transactions.tx, REVERSE, [
      eventId,
      userId,
      apiKeyId,
    ]);
    const [row] = await runPrepared<EventRow>(this.transactions.tx, READ_EVENT, [eventId]);
    if (!reversed?.is_found || row === undefined)
      throw new AppError('usage_event.not_found', 'There is no such usage event.');
    const event = toRecordedEvent(row);
    await this.lineage.requireMayTakeBack(principal, event.apiKeyId);
    if (reversed.is_new) {
      await this.events.change('usage.reversed', {
        eventId,
        apiKeyId: event.apiKeyId,
        requestId: event.requestId,
        costCents: decimalCentsFromMicroCents(event.usage.costMicroCents),
        occurredAt: event.occurredAt.toISOString(),
      });
    }
    return { event, states: reversed.states };
  }
}
