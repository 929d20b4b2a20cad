import { randomBytes } from 'node:crypto';
import { Injectable } from '@nestjs/common';
import bcrypt from 'bcrypt';
import { AppError } from '../common/app-error.js';
import { Config } from '../config/config.js';
import { fitsBcrypt } from './password.policy.js';

/** bcrypt runs on the four threads that file access and DNS share; more at once would only starve those. */
const MAX_RUNNING = 2;
const MAX_WAITING = 100;

/** Hashes and compares passwords with bcrypt, a bounded number at a time and never on the event loop. */
@Injectable()
export class PasswordHasher {
  readonly #cost: number;
  readonly #dummyHash: Promise<string>;
  readonly #waiting: (() => void)[] = [];
  #running = 0;

  constructor(config: Config) {
    this.#cost = config.bcryptCost;
    this.#dummyHash = bcrypt.hash(randomBytes(24).toString('base64'), this.#cost);
  }

  hash(password: string): Promise<string> {
    return this.#bounded(() => bcrypt.hash(password, this.#cost));
  }

  /** Compares with `hash`; without one it takes as long and answers false, so that time tells nothing. */
  async matches(password: string, hash: string | undefined): Promise<boolean> {
    const reference = hash ?? (await this.#dummyHash);
    const isEqual = await this.#bounded(() => bcrypt.compare(password, reference));
    return isEqual && hash !== undefined && fitsBcrypt(password);
  }

  /** For callers that would otherwise do work first that is wasted. @throws AppError `service.overloaded` */
  requireRoom(): void {
    if (this.#waiting.length >= MAX_WAITING) {
      throw new AppError('service.overloaded', 'Too many logins are waiting.', { retryAfterSeconds: 5 });
    }
  }

  async #bounded<Result>(work: () => Promise<Result>): Promise<Result> {
    this.requireRoom();
    // A finished one passes its slot to the first waiting one, so a newcomer can never overtake.
    if (this.#running >= MAX_RUNNING) await new Promise<void>((resolve) => this.#waiting.push(resolve));
    else this.#running += 1;
    try {
      return await work();
    } finally {
      const next = this.#waiting.shift();
      if (next === undefined) this.#running -= 1;
      else next();
    }
  }
}
