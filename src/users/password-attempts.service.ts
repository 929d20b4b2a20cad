import { Injectable, Logger } from '@nestjs/common';
import { AppError } from '../common/app-error.js';
import { currentRequestContext } from '../context/request-context.js';
import { type LoginRefusal, LoginThrottle } from './login-throttle.service.js';
import { PasswordHasher } from './password-hasher.service.js';

/** How one use of a password is checked and refused. */
export interface PasswordCheck<Result> {
  /** The detail of `auth.too_many_failures`. */
  readonly message: string;
  /** Records that the throttle refused; the refusal is answered after it. */
  readonly onRefused: (refusal: LoginRefusal) => Promise<void>;
  /** Undefined when the password is wrong. */
  readonly check: () => Promise<Result | undefined>;
}

/** Throttles checks of passwords: those of a login and those of the current password of a user who changes it. */
@Injectable()
export class PasswordAttempts {
  readonly #logger = new Logger(PasswordAttempts.name);

  constructor(
    private readonly throttle: LoginThrottle,
    private readonly passwords: PasswordHasher,
  ) {}

  /**
   * What `check` returns; undefined for a wrong password, which stays counted. A right one clears the failures of the account
   * from this address.
   * @throws AppError `auth.too_many_failures`, `service.overloaded`
   */
  async run<Result>(
    username: string,
    { message, onRefused, check }: PasswordCheck<Result>,
  ): Promise<Result | undefined> {
    this.passwords.requireRoom();
    const attempt = await this.throttle.begin(username, currentRequestContext()?.clientAddress);
    if ('retryAfterSeconds' in attempt) {
      await onRefused(attempt);
      const { retryAfterSeconds } = attempt;
      throw new AppError('auth.too_many_failures', message, { retryAfterSeconds });
    }
    let result: Result | undefined;
    try {
      result = await check();
    } catch (error) {
      // A fault of ours is no failure of theirs.
      await this.#settle(attempt.withdraw());
      throw error;
    }
    if (result !== undefined) await this.#settle(attempt.forgive());
    return result;
  }

  /** What `check` did stands, whether or not the count can be corrected: an error here would leave a session that nobody has. */
  async #settle(correction: Promise<void>): Promise<void> {
    await correction.catch((error: unknown) => {
      this.#logger.warn(`A password attempt stays counted as failed until its window ends: ${String(error)}`);
    });
  }
}
