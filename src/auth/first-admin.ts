import { randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { Injectable } from '@nestjs/common';
import { TransactionHost } from '@nestjs-cls/transactional';
import type { TransactionalAdapterTypeOrm } from '@nestjs-cls/transactional-adapter-typeorm';
import { Secret } from '../common/secret.js';
import { Config, ConfigurationError } from '../config/config.js';
import { Change } from '../events/change.decorator.js';
import { EventPublisher } from '../events/event-publisher.js';
import { normaliseUsername } from './login.service.js';
import { passwordProblem } from './password.policy.js';
import { PasswordHasher } from './password-hasher.js';
import { User } from './user.entity.js';

const POLL_MS = 100;

/** The admin made on an empty database. `madePassword` is set when nobody chose one: it must be shown, once. */
export interface FirstAdminMade {
  readonly username: string;
  readonly madePassword: Secret | undefined;
}

/** Makes one admin on an empty database. Call it once the application listens for events: it is audited too. */
@Injectable()
export class FirstAdmin {
  constructor(
    private readonly transactions: TransactionHost<TransactionalAdapterTypeOrm>,
    private readonly passwords: PasswordHasher,
    private readonly events: EventPublisher,
    private readonly config: Config,
  ) {}

  /**
   * Undefined when there are users already.
   * @throws ConfigurationError when the chosen password is one that no user could be given
   */
  async ensure(): Promise<FirstAdminMade | undefined> {
    if (await this.transactions.tx.existsBy(User, {})) return undefined;
    const chosen = this.config.adminPassword;
    const password = chosen ?? new Secret(randomBytes(18).toString('base64url'));
    const username = normaliseUsername(this.config.adminUsername);
    const problem = passwordProblem(password.reveal(), username);
    if (problem !== undefined) throw new ConfigurationError([`ADMIN_PASSWORD ${problem}.`]);
    const passwordHash = await this.passwords.hash(password.reveal());
    for (;;) {
      const outcome = await this.insert(username, passwordHash);
      if (outcome === 'made') return { username, madePassword: chosen === undefined ? password : undefined };
      if (outcome === 'exists') return undefined;
      await sleep(POLL_MS);
    }
  }

  /**
   * Instances that start together on an empty database must make one admin between them: `busy` while another one is
   * at it. None of them waits for the lock, which would take longer than a statement may when the database is slow.
   */
  @Change()
  protected async insert(username: string, passwordHash: string): Promise<'made' | 'exists' | 'busy'> {
    const manager = this.transactions.tx;
    const [lock] = await manager.query<{ taken: boolean }[]>(
      `SELECT pg_try_advisory_xact_lock(hashtextextended('latchkey:first-admin', 0)) AS taken`,
    );
    if (lock?.taken !== true) return 'busy';
    if (await manager.existsBy(User, {})) return 'exists';
    const { id } = await manager.save(
      User,
      { username, passwordHash, role: 'admin' },
      { transaction: false },
    );
    await this.events.change('user.created', { userId: id, username, role: 'admin', permissions: [] });
    return 'made';
  }
}
