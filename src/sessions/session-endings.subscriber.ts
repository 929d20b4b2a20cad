import { Injectable } from '@nestjs/common';
import { OnEvent } from '@nestjs/event-emitter';
import { Propagation, Transactional } from '@nestjs-cls/transactional';
import type { DomainEvent } from '../events/domain-events.js';
import { SessionsService } from './sessions.service.js';

/** Ends the sessions of a user who is disabled or deleted or gets a new password, in the same transaction. */
@Injectable()
export class SessionEndingsSubscriber {
  constructor(private readonly sessions: SessionsService) {}

  @OnEvent('user.updated', { suppressErrors: false })
  @Transactional(Propagation.Mandatory)
  async onUserUpdated({ payload }: DomainEvent<'user.updated'>): Promise<void> {
    if (payload.afterValues['is_active'] === false) await this.sessions.endAllOf(payload.userId);
  }

  @OnEvent('user.password_changed', { suppressErrors: false })
  @OnEvent('user.deleted', { suppressErrors: false })
  @Transactional(Propagation.Mandatory)
  async onPasswordChangedOrUserDeleted({
    payload,
  }: DomainEvent<'user.password_changed' | 'user.deleted'>): Promise<void> {
    await this.sessions.endAllOf(payload.userId);
  }
}
