import { Injectable } from '@nestjs/common';
import { EventPublisher } from '../events/event-publisher.service.js';
import { LoginFailures } from './login-failures.service.js';
import { PasswordAttempts } from './password-attempts.service.js';
import { PasswordHasher } from './password-hasher.service.js';
import type { User } from './user.entity.js';

/**
 * Checks the current password of a user who changes it. Attempts are throttled, recorded and counted together with logins, so
 * that the holder of a stolen access token cannot guess the password, and attempts leave audit rows.
 */
@Injectable()
export class CurrentPasswords {
  constructor(
    private readonly attempts: PasswordAttempts,
    private readonly passwords: PasswordHasher,
    private readonly failures: LoginFailures,
    private readonly events: EventPublisher,
  ) {}

  /**
   * False when it is another one; the audit row of that is committed by then.
   * @throws AppError `auth.too_many_failures`, `service.overloaded`
   */
  async isRight({ id: userId, username, passwordHash }: User, password: string): Promise<boolean> {
    const right = await this.attempts.run(username, {
      message: 'Too many wrong passwords; wait before the next.',
      onRefused: (refusal) => this.failures.changeRefused(userId, refusal),
      check: async () => (await this.passwords.matches(password, passwordHash)) || undefined,
    });
    const isRight = right === true;
    if (!isRight) await this.events.observe('user.password_refused', { userId });
    return isRight;
  }
}
