import { Injectable } from '@nestjs/common';
import { AppError } from '../common/app-error.js';
import { Secret } from '../common/secret.js';
import { Config } from '../config/config.js';
import { ControlPool } from '../database/pools.js';
import { currentRequestContext } from '../context/request-context.js';
import { AccessTokens } from '../auth/access-token.service.js';
import { LoginFailures } from '../users/login-failures.service.js';
import { LoginThrottle } from '../users/login-throttle.service.js';
import { PasswordHasher } from '../users/password-hasher.service.js';
import { type OpenedSession, SessionsService } from './sessions.service.js';
import { normalizeUsername } from '../users/username.js';

/** What a login or a refresh answers. */
export interface IssuedTokens {
  readonly accessToken: Secret;
  readonly expiresInSeconds: number;
  readonly refreshToken: Secret;
}

interface LoginRow {
  readonly id: number;
  readonly password_hash: string;
  readonly is_active: boolean;
}

/** Turns a name and a password into a session. */
@Injectable()
export class LoginService {
  constructor(
    private readonly pool: ControlPool,
    private readonly throttle: LoginThrottle,
    private readonly passwords: PasswordHasher,
    private readonly sessions: SessionsService,
    private readonly accessTokens: AccessTokens,
    private readonly failures: LoginFailures,
    private readonly config: Config,
  ) {}

  /**
   * An unknown user, a disabled one and a wrong password are answered alike, in the same time.
   * @throws AppError `auth.login_failed`, `auth.too_many_failures`
   */
  async login(givenUsername: string, password: string): Promise<IssuedTokens> {
    const username = normalizeUsername(givenUsername);
    this.passwords.requireRoom();
    const attempt = await this.throttle.begin(username, currentRequestContext()?.clientAddress);
    if ('retryAfterSeconds' in attempt) {
      await this.failures.refused(username, attempt);
      const { retryAfterSeconds } = attempt;
      throw new AppError('auth.too_many_failures', 'Too many logins have failed; wait before the next.', {
        retryAfterSeconds,
      });
    }
    try {
      const tokens = await this.#loginWith(username, password);
      await attempt.forgive();
      return tokens;
    } catch (error) {
      const isTheirs = error instanceof AppError && error.code === 'auth.login_failed';
      if (!isTheirs) await attempt.withdraw().catch(() => undefined);
      throw error;
    }
  }

  /** @throws AppError `auth.refresh_token_invalid` */
  async refresh(refreshToken: string): Promise<IssuedTokens> {
    return this.#issue(await this.sessions.refresh(refreshToken));
  }

  async #loginWith(username: string, password: string): Promise<IssuedTokens> {
    const known = await this.#find(username);
    const user = known?.is_active === true ? known : undefined;
    if (!(await this.passwords.matches(password, user?.password_hash)) || user === undefined) {
      await this.failures.wrong(username, known !== undefined);
      throw new AppError('auth.login_failed', 'The username or the password is wrong.');
    }
    return this.#issue(await this.sessions.open(user.id, user.password_hash));
  }

  /** A disabled user too: the name is a user's all the same. */
  async #find(username: string): Promise<LoginRow | undefined> {
    const { rows } = await this.pool.query<LoginRow>({
      name: 'find_login',
      text: 'SELECT id, password_hash, is_active FROM users WHERE username = $1 AND deleted_at IS NULL',
      values: [username],
    });
    return rows[0];
  }

  async #issue({ userId, sessionId, refreshToken }: OpenedSession): Promise<IssuedTokens> {
    const accessToken = new Secret(await this.accessTokens.sign(userId, sessionId));
    return { accessToken, expiresInSeconds: this.config.accessTokenTtlSeconds, refreshToken };
  }
}
