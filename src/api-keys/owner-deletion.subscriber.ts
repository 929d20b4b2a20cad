import { Injectable } from '@nestjs/common';
import { OnEvent } from '@nestjs/event-emitter';
import { Propagation, Transactional } from '@nestjs-cls/transactional';
import type { DomainEvent } from '../events/domain-events.js';
import { ApiKeysService } from './api-keys.service.js';

/** Deletes the keys of a user who is deleted, in the same transaction. */
@Injectable()
export class OwnerDeletionSubscriber {
  constructor(private readonly apiKeys: ApiKeysService) {}

  @OnEvent('user.deleted', { suppressErrors: false })
  @Transactional(Propagation.Mandatory)
  async onUserDeleted({ payload }: DomainEvent<'user.deleted'>): Promise<void> {
    await this.apiKeys.deleteAllOf(payload.userId);
  }
}
