import { randomBytes } from 'node:crypto';
import { Injectable } from '@nestjs/common';
import { TransactionHost } from '@nestjs-cls/transactional';
import type { TransactionalAdapterTypeOrm } from '@nestjs-cls/transactional-adapter-typeorm';
import { IsNull } from 'typeorm';
import { AppError } from '../common/app-error.js';
import { Clock } from '../common/clock.js';
import { Secret } from '../common/secret.js';
import { Change } from '../events/change.decorator.js';
import { EventPublisher } from '../events/event-publisher.service.js';
import { PasswordHasher } from './password-hasher.service.js';
import { User } from './user.entity.js';
import { normalizeUsername } from './username.js';

/** Lets the operator of the machine back in, when nobody knows an admin's password. Its actor is the system. */
@Injectable()
export class AdminRecovery {
  constructor(
    private readonly transactions: TransactionHost<TransactionalAdapterTypeOrm>,
    private readonly passwords: PasswordHasher,
    private readonly events: EventPublisher,
    private readonly clock: Clock,
  ) {}

  /**
   * Gives an admin a random password of 144 bits; all their sessions end with the change.
   * @throws AppError `user.not_found` when no active admin has that name
   */
  async resetPassword(username: string): Promise<Secret> {
    const password = new Secret(randomBytes(18).toString('base64url'));
    await this.replace(normalizeUsername(username), await this.passwords.hash(password.reveal()));
    return password;
  }

  @Change()
  protected async replace(username: string, passwordHash: string): Promise<void> {
    const manager = this.transactions.tx;
    const where = { username, kind: 'person' as const, role: 'admin', isActive: true, deletedAt: IsNull() };
    const admin = await manager.findOne(User, { where, lock: { mode: 'pessimistic_write' } });
    if (admin === null) throw new AppError('user.not_found', `There is no active admin named ${username}.`);
    await manager.update(User, { id: admin.id }, { passwordHash, updatedAt: this.clock.now() });
    await this.events.change('user.password_changed', { userId: admin.id });
  }
}
