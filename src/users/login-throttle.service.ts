import { Injectable } from '@nestjs/common';
import { Clock } from '../common/clock.js';
import { subscriberNetwork } from '../common/ip-address.js';
import { NamedQueues } from '../common/named-queues.js';
import { Config } from '../config/config.js';
import { DELETION_SLACK, Maintenance } from '../jobs/maintenance.service.js';
import { ControlPool } from '../database/pools.js';
import { KnownRefusals } from './known-refusals.js';
import { LoginNames } from './login-names.service.js';

interface RefusedRow {
  readonly subject: string;
  readonly seconds_left: number;
}

/** Who is counted: an address, or an account and an address together. */
interface Subject {
  readonly name: string;
  readonly limit: number;
}

/** A login attempt that has been let through; it counts as failed unless one of these is called. */
export interface LoginAttempt {
  /** The password was right: earlier failures of the account from the address are forgotten too. */
  forgive(): Promise<void>;
  /** The password was not checked because of a fault of ours: only this attempt is taken back. */
  withdraw(): Promise<void>;
}

/** The attempt was refused; seconds until the next one can be let through. */
export interface LoginRefusal {
  readonly retryAfterSeconds: number;
  /** The same for all attempts that are refused for the same reason. */
  readonly subject: string;
  /** False when the address may try no account at all. */
  readonly isOfAccount: boolean;
}

/** Attempts of one address that are counted at the same time: they wait for one row, and others need connections too. */
const COUNTED_AT_ONCE = 2;
const MOST_WAITING = 500;

/** Statements that wait for each other's row read the clock in another order than they write. */
const CLOCK_SLACK = `interval '1 minute'`;
/** A window that ends later than one that begins now began while the clock was ahead: it must not last that long. */
const IS_WINDOW_OVER = `(known.window_ends_at <= now()
  OR known.window_ends_at > excluded.window_ends_at + ${CLOCK_SLACK})`;

/**
 * Limits failed logins per account and address together, and per address. Never per account alone, which would
 * let a stranger lock its owner out. A failure is counted before the password is looked at and given back when it
 * was right, so that attempts sent at once cannot slip through together. An attempt that is refused was no failure:
 * it is counted nowhere, and writes nothing.
 */
@Injectable()
export class LoginThrottle {
  readonly #refusals = new KnownRefusals();
  readonly #queues = new NamedQueues<string>(COUNTED_AT_ONCE, MOST_WAITING);

  constructor(
    private readonly pool: ControlPool,
    private readonly config: Config,
    private readonly names: LoginNames,
    private readonly clock: Clock,
    maintenance: Maintenance,
  ) {
    maintenance.register({
      name: 'expire-login-failures',
      purpose: 'deletes counters of failed logins whose window is over',
      everySeconds: 60,
      isDestructive: true,
      run: async (client) => {
        await client.query(
          `DELETE FROM login_failures WHERE window_ends_at < now() - ${DELETION_SLACK} OR failures = 0`,
        );
      },
    });
  }

  async begin(username: string, clientAddress: string | undefined): Promise<LoginAttempt | LoginRefusal> {
    const network = clientAddress === undefined ? 'unknown' : subscriberNetwork(clientAddress);
    const address = { name: `address ${network}`, limit: this.config.loginFailuresPerAddress };
    const account = {
      name: `account ${this.names.digestOf(username)} from ${network}`,
      limit: this.config.loginFailuresPerAccountAndAddress,
    };
    const known = this.#knownRefusal(address, account);
    if (known !== undefined) return known;
    return this.#queues.run(
      network,
      // An attempt before this one may have been refused meanwhile.
      async () => this.#knownRefusal(address, account) ?? this.#ask(address, account),
    );
  }

  #knownRefusal(address: Subject, account: Subject): LoginRefusal | undefined {
    const now = this.clock.nowMs();
    for (const { name: subject } of [address, account]) {
      const retryAfterSeconds = this.#refusals.secondsLeft(subject, now);
      if (retryAfterSeconds !== undefined)
        return { retryAfterSeconds, subject, isOfAccount: subject === account.name };
    }
    return undefined;
  }

  async #ask(address: Subject, account: Subject): Promise<LoginAttempt | LoginRefusal> {
    const refused = await this.#findRefusal(address, account);
    if (refused !== undefined) return refused;
    if (!(await this.#count(address))) return this.#refusedMeanwhile(address, account);
    if (await this.#count(account)) {
      return {
        forgive: () => this.#forgive(address, account),
        withdraw: () => this.#giveBack(address, account),
      };
    }
    await this.#giveBack(address);
    return this.#refusedMeanwhile(address, account);
  }

  /** Attempts on other instances were counted between the read and this count. */
  async #refusedMeanwhile(address: Subject, account: Subject): Promise<LoginRefusal> {
    const refused = await this.#findRefusal(address, account);
    return refused ?? { retryAfterSeconds: 1, subject: account.name, isOfAccount: true };
  }

  async #findRefusal(address: Subject, account: Subject): Promise<LoginRefusal | undefined> {
    const { rows } = await this.pool.query<RefusedRow>({
      name: 'find_login_refusals',
      text: `
        SELECT subject, greatest(1, least($5, ceil(extract(epoch FROM window_ends_at - now()))))::int AS seconds_left
        FROM login_failures
        WHERE (subject = $1 AND failures >= $2 OR subject = $3 AND failures >= $4)
          AND window_ends_at > now() AND window_ends_at <= now() + $5 * interval '1 second' + ${CLOCK_SLACK}`,
      values: [
        address.name,
        address.limit,
        account.name,
        account.limit,
        this.config.loginFailureWindowSeconds,
      ],
    });
    const now = this.clock.nowMs();
    for (const { subject, seconds_left } of rows) this.#refusals.add(subject, seconds_left, now);
    return this.#knownRefusal(address, account);
  }

  /** False when the subject has failed too often: nothing is counted then. */
  async #count({ name, limit }: Subject): Promise<boolean> {
    const { rowCount } = await this.pool.query({
      name: 'count_login_failure',
      text: `
        INSERT INTO login_failures AS known (subject, failures, window_ends_at)
        VALUES ($1, 1, now() + $2 * interval '1 second')
        ON CONFLICT (subject) DO UPDATE SET
          failures = CASE WHEN ${IS_WINDOW_OVER} THEN 1 ELSE known.failures + 1 END,
          window_ends_at = CASE WHEN ${IS_WINDOW_OVER} THEN excluded.window_ends_at ELSE known.window_ends_at END
        WHERE known.failures < $3 OR ${IS_WINDOW_OVER}`,
      values: [name, this.config.loginFailureWindowSeconds, limit],
    });
    return rowCount === 1;
  }

  async #forgive(address: Subject, account: Subject): Promise<void> {
    await this.pool.query('DELETE FROM login_failures WHERE subject = $1', [account.name]);
    await this.#giveBack(address);
    this.#refusals.delete(account.name);
  }

  async #giveBack(...subjects: readonly Subject[]): Promise<void> {
    for (const { name } of subjects) {
      await this.pool.query(
        'UPDATE login_failures SET failures = greatest(failures - 1, 0) WHERE subject = $1',
        [name],
      );
      this.#refusals.delete(name);
    }
  }
}
