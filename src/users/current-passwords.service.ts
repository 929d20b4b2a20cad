import { Injectable } from '@nestjs/common';
import { AppError } from '../common/app-error.js';
import { EventPublisher } from '../events/event-publisher.service.js';
import { currentRequestContext } from '../context/request-context.js';
import { LoginFailures } from './login-failures.service.js';
import { LoginThrottle } from './login-throttle.service.js';
import { PasswordHasher } from './password-hasher.service.js';
import type { User } from './user.entity.js';

/**
 * Checks the current password of a user who changes it. Attempts are throttled, recorded and counted together with logins, so
 * that the holder of a stolen access token cannot guess the password, and attempts leave audit rows.
 */
@Injectable()
export class CurrentPasswords {
  constructor(
    private readonly throttle: LoginThrottle,
    private readonly passwords: PasswordHasher,
    private readonly failures: LoginFailures,
    private readonly events: EventPublisher,
  ) {}

  /**
   * False when it is another one; the audit row of that is committed by then.
   * @throws AppError `auth.too_many_failures`, `service.overloaded`
   */
  async isRight({ id: userId, username, passwordHash }: User, password: string): Promise<boolean> {
    this.passwords.requireRoom();
    const attempt = await this.throttle.begin(username, currentRequestContext()?.clientAddress);
    if ('retryAfterSeconds' in attempt) {
      await this.failures.changeRefused(userId, attempt);
      const { retryAfterSeconds } = attempt;
      throw new AppError('auth.too_many_failures', 'Too many wrong passwords; wait before the next.', {
        retryAfterSeconds,
      });
    }
    let isRight: boolean;
    try {
      isRight = await this.passwords.matches(password, passwordHash);
      if (isRight) await attempt.forgive();
    } catch (error) {
      // A fault of ours is no failure of theirs.
      await attempt.withdraw().catch(() => undefined);
      throw error;
    }
    if (!isRight) await this.events.observe('user.password_refused', { userId });
    return isRight;
  }
}
