import { Injectable, Logger, type OnModuleDestroy } from '@nestjs/common';
import type { AppError } from '../common/app-error.js';
import { Clock } from '../common/clock.js';
import { EventPublisher } from '../events/event-publisher.service.js';
import { RepeatedObservations } from '../events/repeated-observations.js';
import type { ErrorObserver } from '../http/problem.filter.js';
import { currentRequestContext } from '../context/request-context.js';

/** Refusals of an operation to a caller that have a row each, before others are counted. */
const PUBLISHED_AT_ONCE = 10;

/**
 * Publishes refusals (403), no matter who decided them. Each has its audit row before the response, but for those of a caller who
 * keeps trying one operation: those are counted in one row a minute, so that a loop cannot fill the log.
 */
@Injectable()
export class AccessRefusals implements ErrorObserver, OnModuleDestroy {
  readonly #refusals: RepeatedObservations;

  constructor(
    private readonly events: EventPublisher,
    clock: Clock,
  ) {
    this.#refusals = new RepeatedObservations(PUBLISHED_AT_ONCE, clock, new Logger(AccessRefusals.name));
  }

  async onModuleDestroy(): Promise<void> {
    await this.#refusals.stop();
  }

  async observe(error: AppError): Promise<void> {
    const context = currentRequestContext();
    if (error.code !== 'permission.denied' || context?.operation === undefined) return;
    const { action, resourceType } = context.operation;
    const { actor, clientAddress, resourceId = null } = context;
    const publishCount = (count: number, since: Date) =>
      this.events.observe('access.refused', {
        action,
        resourceType,
        resourceId: null,
        count,
        since: since.toISOString(),
      });
    const caller = String(actor?.userId);
    await this.#refusals.add({
      caller,
      counted: { subject: [caller, actor?.apiKeyId, clientAddress, action].join(' '), publishCount },
      publishOne: () =>
        this.events.observe('access.refused', { action, resourceType, resourceId, reason: error.message }),
      overflow: [
        { subject: `${caller} ${action}`, publishCount },
        { subject: action, publishCount },
      ],
    });
  }

  /** Writes the rows of what was counted. */
  flush(): Promise<void> {
    return this.#refusals.flush();
  }
}
