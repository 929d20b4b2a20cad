import { setTimeout as sleep } from 'node:timers/promises';
import { Injectable } from '@nestjs/common';
import { OnEvent } from '@nestjs/event-emitter';
import { TransactionHost } from '@nestjs-cls/transactional';
import type { TransactionalAdapterTypeOrm } from '@nestjs-cls/transactional-adapter-typeorm';
import { IsNull } from 'typeorm';
import type { Secret } from '../common/secret.js';
import { Config, ConfigurationError } from '../config/config.js';
import { Change } from '../events/change.decorator.js';
import type { DomainEvent } from '../events/domain-events.js';
import { EventPublisher } from '../events/event-publisher.service.js';
import { InitialPassword } from './initial-password.js';
import { passwordProblem } from './password.policy.js';
import { PasswordHasher } from './password-hasher.service.js';
import { User } from './user.entity.js';
import { normalizeUsername } from './username.js';

const POLL_MS = 100;

/** What a start shows the operator about the first admin. */
export interface FirstAdminState {
  readonly username: string;
  /** Set when this start created the admin with a generated password. */
  readonly generatedPassword: Secret | undefined;
  /** The file that holds the generated password, until the admin has logged in. */
  readonly passwordFile: string | undefined;
}

/** Creates one admin on an empty database. Call it when subscribers are registered: it is audited too. */
@Injectable()
export class FirstAdmin {
  readonly #initialPassword: InitialPassword;
  /** The admin at whose first login the file is deleted. */
  #awaitedUserId: number | undefined;

  constructor(
    private readonly transactions: TransactionHost<TransactionalAdapterTypeOrm>,
    private readonly passwords: PasswordHasher,
    private readonly events: EventPublisher,
    private readonly config: Config,
  ) {
    this.#initialPassword = new InitialPassword(config.dataDir);
  }

  /** @throws ConfigurationError when the chosen password is one that no user could be given */
  async ensure(): Promise<FirstAdminState> {
    const username = normalizeUsername(this.config.adminUsername);
    if (await this.transactions.tx.existsBy(User, {})) return this.#known(username);
    const chosen = this.config.adminPassword;
    const { password, isKept } =
      chosen === undefined ? this.#initialPassword.readOrGenerate() : { password: chosen, isKept: false };
    const problem = passwordProblem(password.reveal(), username);
    if (problem !== undefined) throw new ConfigurationError([`ADMIN_PASSWORD ${problem}.`]);
    const passwordHash = await this.passwords.hash(password.reveal());
    for (;;) {
      const outcome = await this.insert(username, passwordHash);
      if (outcome === 'exists') return this.#known(username);
      if (outcome === 'busy') {
        await sleep(POLL_MS);
        continue;
      }
      if (isKept) this.#awaitedUserId = outcome.userId;
      const passwordFile = isKept ? this.#initialPassword.path : undefined;
      return { username, generatedPassword: chosen === undefined ? password : undefined, passwordFile };
    }
  }

  /** Deletes the file once the admin has logged in: it is no longer needed. */
  @OnEvent('session.opened', { suppressErrors: false })
  forgetPassword({ payload }: DomainEvent<'session.opened'>): void {
    if (payload.userId !== this.#awaitedUserId) return;
    this.#awaitedUserId = undefined;
    this.#initialPassword.remove();
  }

  /** The file of an earlier start is kept only while it holds the admin's current password. */
  async #known(username: string): Promise<FirstAdminState> {
    const password = this.#initialPassword.read();
    const state = { username, generatedPassword: undefined };
    if (password === undefined) return { ...state, passwordFile: undefined };
    const admin = await this.transactions.tx.findOneBy(User, { username, deletedAt: IsNull() });
    if (admin !== null && (await this.passwords.matches(password.reveal(), admin.passwordHash))) {
      this.#awaitedUserId = admin.id;
      return { ...state, passwordFile: this.#initialPassword.path };
    }
    this.#initialPassword.remove();
    return { ...state, passwordFile: undefined };
  }

  /**
   * Instances that start together on an empty database must make one admin between them: `busy` while another one is
   * at it. None of them waits for the lock, which would take longer than a statement may when the database is slow.
   */
  @Change()
  protected async insert(
    username: string,
    passwordHash: string,
  ): Promise<{ readonly userId: number } | 'exists' | 'busy'> {
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
    return { userId: id };
  }
}
