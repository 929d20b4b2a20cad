import { Injectable, Logger, type OnModuleDestroy } from '@nestjs/common';
import { Clock } from '../common/clock.js';
import { ControlPool } from '../database/pools.js';
import { EventPublisher } from '../events/event-publisher.service.js';
import { type PublishCount, RepeatedObservations } from '../events/repeated-observations.js';
import { type KeptName, LoginNames } from './login-names.service.js';
import type { LoginRefusal } from './login-throttle.service.js';

/**
 * Publishes failed logins. Each wrong password has an audit row of its own. Attempts that the throttle refused may come by
 * the thousand: the first of a subject has its row before the response, and the others are counted in one row a minute.
 */
@Injectable()
export class LoginFailures implements OnModuleDestroy {
  readonly #refused: RepeatedObservations;

  constructor(
    private readonly events: EventPublisher,
    private readonly names: LoginNames,
    private readonly pool: ControlPool,
    private readonly clock: Clock,
  ) {
    this.#refused = new RepeatedObservations(1, clock, new Logger(LoginFailures.name));
  }

  async onModuleDestroy(): Promise<void> {
    await this.#refused.stop();
  }

  /** The name or the password was wrong; `isKnown` when a user has the name. Resolves when the row is committed. */
  async wrong(username: string, isKnown: boolean): Promise<void> {
    await this.events.observe('login.failed', { name: this.names.kept(username, isKnown) });
  }

  /** A login was refused. Resolves when the row is committed, or when there will be one. */
  async refused(username: string, { subject, isOfAccount }: LoginRefusal): Promise<void> {
    const name = isOfAccount ? () => this.#keptName(username) : () => Promise.resolve({});
    await this.#count(subject, async (count, since) => this.#throttled(await name(), count, since));
  }

  /** The same of a change of one's own password, whose current one was not looked at. */
  async changeRefused(userId: number, { subject }: LoginRefusal): Promise<void> {
    await this.#count(`change by ${userId}: ${subject}`, (count, since) =>
      this.events.observe('user.password_throttled', { userId, count, since: since.toISOString() }),
    );
  }

  async #count(subject: string, publish: PublishCount): Promise<void> {
    const publishOthers = (count: number, since: Date) => this.#throttled({}, count, since);
    await this.#refused.add({
      subject,
      one: () => publish(1, this.clock.now()),
      others: publish,
      besides: { subject: 'others', publish: publishOthers },
    });
  }

  /** Writes the rows of what was counted. */
  flush(): Promise<void> {
    return this.#refused.flush();
  }

  #throttled(name: KeptName, count: number, since: Date): Promise<void> {
    return this.events.observe('login.throttled', { name, count, since: since.toISOString() });
  }

  async #keptName(username: string): Promise<KeptName> {
    const { rowCount } = await this.pool.query({
      name: 'is_username_known',
      text: 'SELECT FROM users WHERE username = $1 AND deleted_at IS NULL',
      values: [username],
    });
    return this.names.kept(username, rowCount !== 0);
  }
}
