import { Injectable } from '@nestjs/common';
import type { AppError } from '../common/app-error.js';
import { EventPublisher } from '../events/event-publisher.js';
import type { ErrorObserver } from '../http/problem.filter.js';
import { currentRequestContext } from '../http/request-context.js';

/** Tells of each refusal (403), whoever decided it, before the answer leaves. */
@Injectable()
export class AccessRefusals implements ErrorObserver {
  constructor(private readonly events: EventPublisher) {}

  async observe(error: AppError): Promise<void> {
    const context = currentRequestContext();
    if (error.code !== 'permission.denied' || context?.operation === undefined) return;
    const { action, resourceType } = context.operation;
    const resourceId = context.resourceId ?? null;
    await this.events.observe('access.refused', { action, resourceType, resourceId, reason: error.message });
  }
}
