import { Injectable, Logger, type OnModuleDestroy } from '@nestjs/common';
import { Clock } from '../common/clock.js';
import { ControlPool } from '../database/pools.js';
import { EventPublisher } from '../events/event-publisher.service.js';
import { type Counted, type PublishCount, RepeatedObservations } from '../events/repeated-observations.js';
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
    const publishCount: PublishCount = async (count, since) => this.#throttled(await name(), count, since);
    const publishUnnamed: PublishCount = (count, since) => this.#throttled({}, count, since);
    await this.#add({ subject, publishCount }, { subject: 'logins', publishCount: publishUnnamed });
  }

  /** A password change was refused by the throttle; the current password was not checked. */
  async changeRefused(userId: number, { subject }: LoginRefusal): Promise<void> {
    const publishOf = (of: number | null): PublishCount => {
      return (count, since) =>
        this.events.observe('user.password_throttled', { userId: of, count, since: since.toISOString() });
    };
    await this.#add(
      { subject: `change by ${userId}: ${subject}`, publishCount: publishOf(userId) },
      { subject: 'changes of passwords', publishCount: publishOf(null) },
    );
  }

  async #add(counted: Counted, overflow: Counted): Promise<void> {
    const publishOne = () => counted.publishCount(1, this.clock.now());
    await this.#refused.add({ caller: counted.subject, counted, publishOne, overflow: [overflow] });
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
