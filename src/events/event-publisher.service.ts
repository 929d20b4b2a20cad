import { Injectable } from '@nestjs/common';
import { EventEmitter2 } from '@nestjs/event-emitter';
import { Clock } from '../common/clock.js';
import { uuidV7 } from '../common/uuid.js';
import { currentRequestContext } from '../context/request-context.js';
import { authorityName, changedAuthority } from './authority-locks.js';
import { currentChange } from './change-scope.js';
import type {
  ChangeEvents,
  DomainEvent,
  DomainEventName,
  DomainEvents,
  EventOrigin,
  ObservationEvents,
} from './domain-events.js';

/**
 * Tells subscribers what happened and waits for each, one by one: a subscriber that fails makes the
 * publisher fail, and with it the transaction of a change. (Listeners run in parallel could still be
 * writing after a rollback.) An event nobody subscribed to is refused: its audit row would be missing.
 */
@Injectable()
export class EventPublisher {
  constructor(
    private readonly emitter: EventEmitter2,
    private readonly clock: Clock,
  ) {}

  /** Publishes a change, from within the `@Change()` that makes it. */
  async change<Name extends keyof ChangeEvents>(name: Name, payload: ChangeEvents[Name]): Promise<void> {
    const change = currentChange();
    if (change === undefined)
      throw new Error(`${name} is published outside of a method marked with @Change().`);
    const changed = changedAuthority(name, payload);
    if (changed !== undefined) change.changed.set(authorityName(changed.kind, changed.id), changed);
    await this.#publish(name, true, payload as DomainEvents[Name]);
  }

  /** Publishes a read or a refusal; resolves when its trace is committed. */
  observe<Name extends keyof ObservationEvents>(name: Name, payload: ObservationEvents[Name]): Promise<void> {
    return this.#publish(name, false, payload as DomainEvents[Name]);
  }

  async #publish<Name extends DomainEventName>(
    name: Name,
    isChange: boolean,
    payload: DomainEvents[Name],
  ): Promise<void> {
    const occurredAt = this.clock.now();
    const event: DomainEvent<Name> = {
      id: uuidV7(),
      name,
      isChange,
      occurredAt,
      origin: currentOrigin(organizationOf(payload)),
      payload,
    };
    const listeners = this.emitter.listeners(name);
    if (listeners.length === 0) throw new Error(`Nobody is subscribed to ${name}; it would leave no trace.`);
    for (const listener of listeners) await (listener as (event: DomainEvent<Name>) => unknown)(event);
  }
}

/** What the event itself says of its organization. */
function organizationOf(payload: object): number | undefined {
  return 'organizationId' in payload && typeof payload.organizationId === 'number'
    ? payload.organizationId
    : undefined;
}

function currentOrigin(organizationId: number | undefined): EventOrigin {
  const context = currentRequestContext();
  return {
    userId: context?.actor?.userId ?? null,
    apiKeyId: context?.actor?.apiKeyId ?? null,
    ipAddress: context?.clientAddress ?? null,
    userAgent: context?.userAgent ?? null,
    requestId: context?.requestId ?? null,
    organizationId: organizationId ?? context?.organizationId ?? null,
  };
}
