import { Injectable } from '@nestjs/common';
import { OnEvent } from '@nestjs/event-emitter';
import { Propagation, Transactional } from '@nestjs-cls/transactional';
import type { DomainEvent } from '../events/domain-events.js';
import { MemberRows } from './member-rows.queries.js';

/** Ends the memberships and the open invitations of a user or a service account that is deleted, in the same transaction. */
@Injectable()
export class UserDeletionSubscriber {
  constructor(private readonly rows: MemberRows) {}

  @OnEvent('user.deleted', { suppressErrors: false })
  @OnEvent('service_account.deleted', { suppressErrors: false })
  @Transactional(Propagation.Mandatory)
  async onUserDeleted({ payload }: DomainEvent<'user.deleted' | 'service_account.deleted'>): Promise<void> {
    await this.rows.removeEverywhere(payload.userId);
  }
}
