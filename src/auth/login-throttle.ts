import { isIP } from 'node:net';
import { Injectable } from '@nestjs/common';
import { Redactor } from '../common/redactor.js';
import { Config } from '../config/config.js';
import { Maintenance } from '../database/maintenance.js';
import { ControlPool } from '../database/pools.js';

interface FailureRow {
  readonly failures: number;
  readonly seconds_left: number;
}

/** A login attempt that has been let through; it counts as failed unless it is forgiven. */
export interface LoginAttempt {
  /** The password was right, or it was our own fault that nobody looked. */
  forgive(): Promise<void>;
}

/** The attempt was refused; seconds until the next one can be let through. */
export interface LoginRefusal {
  readonly retryAfterSeconds: number;
}

/**
 * Limits failed logins per account and address together, and per address. Never per account alone, which would
 * let a stranger lock its owner out. A failure is counted before the password is looked at and given back when it
 * was right, so that attempts sent at once cannot slip through together. An attempt that is refused was no failure:
 * it counts nowhere but where it was refused.
 */
@Injectable()
export class LoginThrottle {
  constructor(
    private readonly pool: ControlPool,
    private readonly config: Config,
    private readonly redactor: Redactor,
    maintenance: Maintenance,
  ) {
    maintenance.register({
      name: 'expire-login-failures',
      everySeconds: 3_600,
      run: async (client) => {
        await client.query('DELETE FROM login_failures WHERE window_ends_at < now()');
      },
    });
  }

  async begin(username: string, clientAddress: string | undefined): Promise<LoginAttempt | LoginRefusal> {
    const network = networkOf(clientAddress);
    const byAddress = `address ${network}`;
    // People paste secrets into the wrong field.
    const byAccount = `account ${this.redactor.maskText(username)} from ${network}`;
    const { loginFailuresPerAddress, loginFailuresPerAccountAndAddress } = this.config;
    const refusedAddress = await this.#count(byAddress, loginFailuresPerAddress);
    if (refusedAddress !== undefined) return refusedAddress;
    const refusedAccount = await this.#count(byAccount, loginFailuresPerAccountAndAddress);
    if (refusedAccount === undefined) return { forgive: () => this.#succeeded(byAccount, byAddress) };
    await this.#giveBack(byAddress);
    return refusedAccount;
  }

  async #count(subject: string, limit: number): Promise<LoginRefusal | undefined> {
    const { rows } = await this.pool.query<FailureRow>({
      name: 'count_login_failure',
      text: `
        INSERT INTO login_failures AS known (subject, failures, window_ends_at)
        VALUES ($1, 1, now() + $2 * interval '1 second')
        ON CONFLICT (subject) DO UPDATE SET
          failures = CASE WHEN known.window_ends_at <= now() THEN 1 ELSE known.failures + 1 END,
          window_ends_at = CASE WHEN known.window_ends_at <= now() THEN excluded.window_ends_at ELSE known.window_ends_at END
        RETURNING failures, ceil(extract(epoch FROM window_ends_at - now()))::int AS seconds_left`,
      values: [subject, this.config.loginFailureWindowSeconds],
    });
    const [row] = rows;
    if (row === undefined || row.failures <= limit) return undefined;
    return { retryAfterSeconds: Math.max(1, row.seconds_left) };
  }

  async #succeeded(byAccount: string, byAddress: string): Promise<void> {
    await this.pool.query('DELETE FROM login_failures WHERE subject = $1', [byAccount]);
    await this.#giveBack(byAddress);
  }

  async #giveBack(subject: string): Promise<void> {
    await this.pool.query(
      'UPDATE login_failures SET failures = greatest(failures - 1, 0) WHERE subject = $1',
      [subject],
    );
  }
}

/** An IPv4 address itself; of an IPv6 address its /64, which is what one subscriber has to spend. */
function networkOf(address: string | undefined): string {
  if (address === undefined || isIP(address) !== 6) return address ?? 'unknown';
  const [head = '', tail] = address.split('::');
  const groups = head === '' ? [] : head.split(':');
  const tailGroups = tail === undefined || tail === '' ? [] : tail.split(':');
  while (tail !== undefined && groups.length + tailGroups.length < 8) groups.push('0');
  return `${[...groups, ...tailGroups].slice(0, 4).join(':')}::/64`;
}
