import { Injectable } from '@nestjs/common';
import { OnEvent } from '@nestjs/event-emitter';
import { Propagation, Transactional } from '@nestjs-cls/transactional';
import type { DomainEvent } from '../events/domain-events.js';
import { ApiKeysService } from './api-keys.service.js';

/** Deletes the keys of a user or a service account that is deleted, in the same transaction. */
@Injectable()
export class OwnerDeletionSubscriber {
  constructor(private readonly apiKeys: ApiKeysService) {}

  @OnEvent('user.deleted', { suppressErrors: false })
  @OnEvent('service_account.deleted', { suppressErrors: false })
  @Transactional(Propagation.Mandatory)
  async onOwnerDeleted({ payload }: DomainEvent<'user.deleted' | 'service_account.deleted'>): Promise<void> {
    await this.apiKeys.deleteAllOf(payload.userId);
  }
}
