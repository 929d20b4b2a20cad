import { Injectable } from '@nestjs/common';
import { validationFailed } from '../common/app-error.js';
import { Clock } from '../common/clock.js';
import { Change } from '../events/change.decorator.js';
import { EventPublisher } from '../events/event-publisher.service.js';
import { passwordErrors } from './password.policy.js';
import { PasswordHasher } from './password-hasher.service.js';
import { UserRows } from './user-rows.queries.js';

const ROLE = 'user';

/** Users without permissions, who come by an invitation. */
@Injectable()
export class NewUsers {
  constructor(
    private readonly rows: UserRows,
    private readonly passwords: PasswordHasher,
    private readonly events: EventPublisher,
    private readonly clock: Clock,
  ) {}

  /** The hash of a first password. @throws AppError `validation.failed`, `service.overloaded` */
  async hashOf(username: string, password: string): Promise<string> {
    const errors = passwordErrors('password', password, username);
    if (errors.length > 0) throw validationFailed(errors);
    return this.passwords.hash(password);
  }

  /** The id of the new user, as part of the change that calls for it; undefined when the name is taken. */
  @Change()
  async create(username: string, passwordHash: string): Promise<number | undefined> {
    const user = { username, passwordHash, role: ROLE, permissions: [] };
    const userId = await this.rows.insert(user, this.clock.now());
    if (userId === undefined) return undefined;
    await this.events.change('user.created', { userId, username, role: ROLE, permissions: [] });
    return userId;
  }
}
