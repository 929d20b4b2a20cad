import { createHash, createHmac, randomBytes } from 'node:crypto';
import { Injectable } from '@nestjs/common';
import { TransactionHost } from '@nestjs-cls/transactional';
import type { TransactionalAdapterTypeOrm } from '@nestjs-cls/transactional-adapter-typeorm';
import { In, IsNull } from 'typeorm';
import { AppError } from '../common/app-error.js';
import { Clock } from '../common/clock.js';
import { Secret } from '../common/secret.js';
import { REFRESH_TOKEN_PREFIX } from '../common/secret-shapes.js';
import { uuidV7 } from '../common/uuid.js';
import { Config } from '../config/config.js';
import { Maintenance } from '../jobs/maintenance.service.js';
import { Change } from '../events/change.decorator.js';
import { EventPublisher } from '../events/event-publisher.service.js';
import { RefreshToken, Session } from './session.entity.js';
import { User } from '../users/user.entity.js';

/** A session and the refresh token that was just made for it. */
export interface OpenedSession {
  readonly sessionId: string;
  readonly userId: number;
  readonly refreshToken: Secret;
}

/** For so long a token that was exchanged may come again, before that means that it was stolen. */
const REPEATED_WITHIN_MS = 10_000;

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
      purpose: 'deletes sessions, with their refresh tokens, a day after they expired',
      everySeconds: 3_600,
      isDestructive: true,
      run: async (client) => {
        await client.query(`DELETE FROM sessions WHERE expires_at < now() - interval '1 day'`);
      },
    });
  }

  /**
   * Opens a session for a user whose password was found right. The user is locked and looked at once more: a
   * password change or a disabling that came in between must not leave a session behind: undefined then.
   */
  @Change()
  async open(userId: number, passwordHash: string): Promise<OpenedSession | undefined> {
    const stillValid = {
      id: userId,
      kind: 'person' as const,
      passwordHash,
      isActive: true,
      deletedAt: IsNull(),
    };
    const user = await this.#manager.findOne(User, { where: stillValid, lock: { mode: 'pessimistic_read' } });
    if (user === null) return undefined;
    const now = this.clock.now();
    const session = {
      id: uuidV7(now.getTime()),
      userId,
      createdAt: now,
      expiresAt: this.#expiry(now),
      endedAt: null,
    };
    await this.#manager.insert(Session, session);
    const refreshToken = REFRESH_TOKEN_PREFIX + randomBytes(32).toString('base64url');
    await this.#store(refreshToken, session.id);
    await this.events.change('session.opened', { sessionId: session.id, userId });
    return { sessionId: session.id, userId, refreshToken: new Secret(refreshToken) };
  }

  /**
   * Exchanges a refresh token for its successor. Repeated within some seconds, by another tab or because the answer was
   * lost, it answers the same successor again. A token that comes back later was stolen, or its successor was: the
   * session ends.
   * @throws AppError `auth.refresh_token_invalid`
   */
  async refresh(refreshToken: string): Promise<OpenedSession> {
    const outcome = await this.rotate(refreshToken);
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
  protected async rotate(refreshToken: string): Promise<RefreshOutcome> {
    const now = this.clock.now();
    const digest = digestOf(refreshToken);
    const token = await this.#manager.findOneBy(RefreshToken, { digest });
    // Refreshes of a session take turns, and with them whatever ends it.
    const session = token && (await this.#lock(token.sessionId));
    if (!session || session.endedAt !== null || session.expiresAt <= now) return { kind: 'refused' };
    const { id: sessionId, userId } = session;
    const successor = await this.#successor(refreshToken, sessionId, now);
    if (successor === undefined) {
      await this.#manager.update(Session, { id: sessionId }, { endedAt: now });
      await this.events.change('session.reuse_detected', { sessionId, userId });
      return { kind: 'refused' };
    }
    await this.events.change('session.refreshed', { sessionId, userId });
    return { kind: 'refreshed', session: { sessionId, userId, refreshToken: new Secret(successor) } };
  }

  async #lock(sessionId: string): Promise<Session | null> {
    const lock = { mode: 'for_no_key_update' } as const;
    return this.#manager.findOne(Session, { where: { id: sessionId }, lock });
  }

  /** Undefined when the token was exchanged before, and is not being repeated. */
  async #successor(refreshToken: string, sessionId: string, now: Date): Promise<string | undefined> {
    const digest = digestOf(refreshToken);
    const { usedAt } = await this.#manager.findOneByOrFail(RefreshToken, { digest });
    const successors = this.config.jwtSecrets.map((secret) => successorOf(refreshToken, secret));
    if (usedAt === null) {
      await this.#manager.update(RefreshToken, { digest }, { usedAt: now });
      await this.#manager.update(Session, { id: sessionId }, { expiresAt: this.#expiry(now) });
      const [successor = ''] = successors;
      await this.#store(successor, sessionId);
      return successor;
    }
    if (Math.abs(now.getTime() - usedAt.getTime()) >= REPEATED_WITHIN_MS) return undefined;
    const stored = await this.#manager.findBy(RefreshToken, { digest: In(successors.map(digestOf)) });
    return successors.find((successor) => stored.some((row) => row.digest.equals(digestOf(successor))));
  }

  async #store(refreshToken: string, sessionId: string): Promise<void> {
    await this.#manager.insert(RefreshToken, { digest: digestOf(refreshToken), sessionId, usedAt: null });
  }

  #expiry(now: Date): Date {
    return new Date(now.getTime() + this.config.refreshTokenTtlSeconds * 1000);
  }

  get #manager() {
    return this.transactions.tx;
  }
}

/**
 * The token that another is exchanged for. It is the same each time, so that repeating an exchange starts no second chain of
 * tokens, whose use would go unnoticed. Without the secret of the service nobody can derive it from the token before.
 */
function successorOf(refreshToken: string, secret: Secret): string {
  const bytes = createHmac('sha256', secret.reveal()).update(`refresh token after ${refreshToken}`).digest();
  return REFRESH_TOKEN_PREFIX + bytes.toString('base64url');
}

/** The token is 256 random bits: a plain hash is as good as a keyed one. */
function digestOf(refreshToken: string): Buffer {
  return createHash('sha256').update(refreshToken).digest();
}
