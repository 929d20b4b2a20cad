import { AsyncResource } from 'node:async_hooks';
import { Injectable, Logger, type OnApplicationBootstrap, type OnModuleDestroy } from '@nestjs/common';
import { Clock } from '../common/clock.js';
import { ControlPool } from '../database/pools.js';
import { EventPublisher } from '../events/event-publisher.js';
import { type KeptName, LoginNames } from './login-names.js';
import type { LoginRefusal } from './login-throttle.js';

const FLUSH_MS = 60_000;
const MOST_SUBJECTS = 10_000;

/** Refused attempts of one subject that no audit row records yet. */
interface OpenCount {
  count: number;
  since: Date;
  /** Writes a row for some of them, with the address and the request of the first. */
  readonly publish: (count: number, since: Date) => Promise<void>;
}

/**
 * Publishes failed logins. Each wrong password has an audit row of its own. Attempts that the throttle refused may come by
 * the thousand: the first of a subject has its row before the response, and the others are counted in one row a minute.
 */
@Injectable()
export class LoginFailures implements OnApplicationBootstrap, OnModuleDestroy {
  readonly #logger = new Logger(LoginFailures.name);
  readonly #open = new Map<string, OpenCount>();
  /** Refused attempts of further subjects, beyond the limit: counted together, without an address. */
  #besides = 0;
  #timer: NodeJS.Timeout | undefined;

  constructor(
    private readonly events: EventPublisher,
    private readonly names: LoginNames,
    private readonly pool: ControlPool,
    private readonly clock: Clock,
  ) {}

  onApplicationBootstrap(): void {
    this.#timer = setInterval(() => void this.flush(), FLUSH_MS);
    this.#timer.unref();
  }

  async onModuleDestroy(): Promise<void> {
    clearInterval(this.#timer);
    await this.flush();
  }

  /** The name or the password was wrong; `isKnown` when a user has the name. Resolves when the row is committed. */
  async wrong(username: string, isKnown: boolean): Promise<void> {
    await this.events.observe('login.failed', { name: this.names.kept(username, isKnown) });
  }

  /** A login was refused. Resolves when the row is committed, or when there will be one. */
  async refused(username: string, { subject, isOfAccount }: LoginRefusal): Promise<void> {
    const name = isOfAccount ? () => this.#keptName(username) : () => Promise.resolve({});
    await this.#refused(subject, async (count, since) =>
      this.events.observe('login.throttled', { name: await name(), count, since: since.toISOString() }),
    );
  }

  /** The same of a change of one's own password, whose current one was not looked at. */
  async changeRefused(userId: number, { subject }: LoginRefusal): Promise<void> {
    await this.#refused(`change by ${userId}: ${subject}`, (count, since) =>
      this.events.observe('user.password_throttled', { userId, count, since: since.toISOString() }),
    );
  }

  async #refused(subject: string, write: OpenCount['publish']): Promise<void> {
    const open = this.#open.get(subject);
    if (open !== undefined) {
      open.count += 1;
      return;
    }
    if (this.#open.size >= MOST_SUBJECTS) {
      this.#besides += 1;
      return;
    }
    const since = this.clock.now();
    const publish = AsyncResource.bind(write);
    this.#open.set(subject, { count: 0, since, publish });
    try {
      await publish(1, since);
    } catch (error) {
      this.#open.delete(subject);
      throw error;
    }
  }

  /** Writes the counts; subjects that were not refused again since the last call are dropped. */
  async flush(): Promise<void> {
    const until = this.clock.now();
    for (const [subject, open] of this.#open) {
      if (open.count === 0) this.#open.delete(subject);
      else await this.#write(open, until);
    }
    if (this.#besides === 0) return;
    const publish = (count: number, since: Date) =>
      this.events.observe('login.throttled', { name: {}, count, since: since.toISOString() });
    const besides = { count: this.#besides, since: new Date(until.getTime() - FLUSH_MS), publish };
    this.#besides = 0;
    await this.#write(besides, until);
    this.#besides += besides.count;
  }

  async #write(open: OpenCount, until: Date): Promise<void> {
    const { count, since } = open;
    Object.assign(open, { count: 0, since: until });
    try {
      await open.publish(count, since);
    } catch (error) {
      Object.assign(open, { count: open.count + count, since });
      this.#logger.warn(`Refused logins could not be recorded yet: ${String(error)}`);
    }
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
