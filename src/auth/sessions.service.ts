import { createHash, randomBytes } from 'node:crypto';
import { Injectable } from '@nestjs/common';
import { TransactionHost } from '@nestjs-cls/transactional';
import type { TransactionalAdapterTypeOrm } from '@nestjs-cls/transactional-adapter-typeorm';
import { IsNull } from 'typeorm';
import { AppError } from '../common/app-error.js';
import { Clock } from '../common/clock.js';
import { Secret } from '../common/secret.js';
import { REFRESH_TOKEN_PREFIX } from '../common/secret-shapes.js';
import { uuidV7 } from '../common/uuid.js';
import { Config } from '../config/config.js';
import { Maintenance } from '../database/maintenance.js';
import { Change } from '../events/change.decorator.js';
import { EventPublisher } from '../events/event-publisher.js';
import { RefreshToken, Session } from './session.entity.js';
import { User } from './user.entity.js';

/** A session and the refresh token that was just made for it. */
export interface OpenedSession {
  readonly sessionId: string;
  readonly userId: number;
  readonly refreshToken: Secret;
}

type RefreshOutcome =
  { readonly kind: 'refreshed'; readonly session: OpenedSession } | { readonly kind: 'refused' };

/** Login sessions: opened, refreshed with rotating tokens, ended. */
@Injectable()
export class SessionsService {
  constructor(
    private readonly transactions: TransactionHost<TransactionalAdapterTypeOrm>,
    private readonly events: EventPublisher,
    private readonly clock: Clock,
    private readonly config: Config,
    maintenance: Maintenance,
  ) {
    maintenance.register({
      name: 'expire-sessions',
      everySeconds: 3_600,
      isDestructive: true,
      run: async (client) => {
        await client.query(`DELETE FROM sessions WHERE expires_at < now() - interval '1 day'`);
      },
    });
  }

  /**
   * Opens a session for a user whose password was found right. The user is locked and looked at once more: a
   * password change or a disabling that came in between must not leave a session behind.
   * @throws AppError `auth.login_failed`
   */
  @Change()
  async open(userId: number, passwordHash: string): Promise<OpenedSession> {
    const stillValid = { id: userId, passwordHash, isActive: true, deletedAt: IsNull() };
    const user = await this.#manager.findOne(User, { where: stillValid, lock: { mode: 'pessimistic_read' } });
    if (user === null) throw new AppError('auth.login_failed', 'The username or the password is wrong.');
    const now = this.clock.now();
    const session = {
      id: uuidV7(now.getTime()),
      userId,
      createdAt: now,
      expiresAt: this.#expiry(now),
      endedAt: null,
    };
    await this.#manager.insert(Session, session);
    const refreshToken = await this.#issueRefreshToken(session.id);
    await this.events.change('session.opened', { sessionId: session.id, userId });
    return { sessionId: session.id, userId, refreshToken };
  }

  /**
   * Exchanges a refresh token for a new one. A token that was used before was stolen, or its successor was: the
   * session ends.
   * @throws AppError `auth.refresh_token_invalid`
   */
  async refresh(refreshToken: string): Promise<OpenedSession> {
    const outcome = await this.rotate(digestOf(refreshToken));
    if (outcome.kind === 'refreshed') return outcome.session;
    throw new AppError(
      'auth.refresh_token_invalid',
      'The refresh token is not valid, has expired or was used before.',
    );
  }

  /** Ends one session; ending it again changes nothing. */
  @Change()
  async close(sessionId: string, userId: number): Promise<void> {
    const { affected } = await this.#manager.update(
      Session,
      { id: sessionId, endedAt: IsNull() },
      { endedAt: this.clock.now() },
    );
    if (affected !== 0) await this.events.change('session.closed', { sessionId, userId });
  }

  /** Ends every session of a user, as part of the change that calls for it. */
  async endAllOf(userId: number): Promise<void> {
    await this.#manager.update(Session, { userId, endedAt: IsNull() }, { endedAt: this.clock.now() });
  }

  @Change()
  protected async rotate(digest: Buffer): Promise<RefreshOutcome> {
    const now = this.clock.now();
    const token = await this.#manager.findOne(RefreshToken, {
      where: { digest },
      lock: { mode: 'pessimistic_write' },
    });
    if (token === null) return { kind: 'refused' };
    const session = await this.#manager.findOneByOrFail(Session, { id: token.sessionId });
    if (session.endedAt !== null || session.expiresAt <= now) return { kind: 'refused' };
    const { id: sessionId, userId } = session;
    if (token.usedAt !== null) {
      await this.#manager.update(Session, { id: sessionId }, { endedAt: now });
      await this.events.change('session.reuse_detected', { sessionId, userId });
      return { kind: 'refused' };
    }
    await this.#manager.update(RefreshToken, { digest }, { usedAt: now });
    await this.#manager.update(Session, { id: sessionId }, { expiresAt: this.#expiry(now) });
    const refreshToken = await this.#issueRefreshToken(sessionId);
    await this.events.change('session.refreshed', { sessionId, userId });
    return { kind: 'refreshed', session: { sessionId, userId, refreshToken } };
  }

  async #issueRefreshToken(sessionId: string): Promise<Secret> {
    const plain = REFRESH_TOKEN_PREFIX + randomBytes(32).toString('base64url');
    await this.#manager.insert(RefreshToken, { digest: digestOf(plain), sessionId, usedAt: null });
    return new Secret(plain);
  }

  #expiry(now: Date): Date {
    return new Date(now.getTime() + this.config.refreshTokenTtlSeconds * 1000);
  }

  get #manager() {
    return this.transactions.tx;
  }
}

/** The token is 256 random bits: a plain hash is as good as a keyed one. */
function digestOf(refreshToken: string): Buffer {
  return createHash('sha256').update(refreshToken).digest();
}
