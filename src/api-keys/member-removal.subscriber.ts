import { Injectable } from '@nestjs/common';
import { OnEvent } from '@nestjs/event-emitter';
import { Propagation, Transactional } from '@nestjs-cls/transactional';
import type { DomainEvent } from '../events/domain-events.js';
import { ApiKeysService } from './api-keys.service.js';

/** Deactivates the personal keys of a member who leaves, in the same transaction. They can be transferred. */
@Injectable()
export class MemberRemovalSubscriber {
  constructor(private readonly apiKeys: ApiKeysService) {}

  @OnEvent('member.removed', { suppressErrors: false })
  @Transactional(Propagation.Mandatory)
  async onMemberRemoved({ payload }: DomainEvent<'member.removed'>): Promise<void> {
    await this.apiKeys.deactivateAllOf(payload.userId, payload);
  }
}
