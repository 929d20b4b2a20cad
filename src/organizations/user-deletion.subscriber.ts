import { Injectable } from '@nestjs/common';
import { OnEvent } from '@nestjs/event-emitter';
import { Propagation, Transactional } from '@nestjs-cls/transactional';
import type { DomainEvent } from '../events/domain-events.js';
import { MemberRows } from './member-rows.queries.js';

/** Ends the memberships of a user who is deleted, in the same transaction. */
@Injectable()
export class UserDeletionSubscriber {
  constructor(private readonly rows: MemberRows) {}

  @OnEvent('user.deleted', { suppressErrors: false })
  @Transactional(Propagation.Mandatory)
  async onUserDeleted({ payload }: DomainEvent<'user.deleted'>): Promise<void> {
    await this.rows.removeEverywhere(payload.userId);
  }
}
