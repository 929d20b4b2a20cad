import { Injectable } from '@nestjs/common';
import { AppError } from '../common/app-error.js';
import { Secret } from '../common/secret.js';
import { Config } from '../config/config.js';
import { ControlPool } from '../database/pools.js';
import { AccessTokens } from '../auth/access-token.service.js';
import { LoginFailures } from '../users/login-failures.service.js';
import { PasswordAttempts } from '../users/password-attempts.service.js';
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
    private readonly attempts: PasswordAttempts,
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
    const tokens = await this.attempts.run(username, {
      message: 'Too many logins have failed; wait before the next.',
      onRefused: (refusal) => this.failures.refused(username, refusal),
      check: () => this.#loginWith(username, password),
    });
    if (tokens !== undefined) return tokens;
    throw new AppError('auth.login_failed', 'The username or the password is wrong.');
  }

  /** @throws AppError `auth.refresh_token_invalid` */
  async refresh(refreshToken: string): Promise<IssuedTokens> {
    return this.#issue(await this.sessions.refresh(refreshToken));
  }

  /** Undefined when the name or the password is wrong; the audit row of that is committed by then. */
  async #loginWith(username: string, password: string): Promise<IssuedTokens | undefined> {
    const known = await this.#find(username);
    const user = known?.is_active === true ? known : undefined;
    if (!(await this.passwords.matches(password, user?.password_hash)) || user === undefined) {
      await this.failures.wrong(username, known !== undefined);
      return undefined;
    }
    const session = await this.sessions.open(user.id, user.password_hash);
    return session && this.#issue(session);
  }

  /** A disabled user too: the name is a user's all the same. A service account is nobody who could log in. */
  async #find(username: string): Promise<LoginRow | undefined> {
    const { rows } = await this.pool.query<LoginRow>({
      name: 'find_login',
      text: `SELECT id, password_hash, is_active FROM users WHERE username = $1 AND kind = 'person' AND deleted_at IS NULL`,
      values: [username],
    });
    return rows[0];
  }

  async #issue({ userId, sessionId, refreshToken }: OpenedSession): Promise<IssuedTokens> {
    const accessToken = new Secret(await this.accessTokens.sign(userId, sessionId));
    return { accessToken, expiresInSeconds: this.config.accessTokenTtlSeconds, refreshToken };
  }
}
