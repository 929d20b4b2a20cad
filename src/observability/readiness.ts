import { setTimeout as sleep } from 'node:timers/promises';
import { Injectable } from '@nestjs/common';
import { AppError } from '../common/app-error.js';
import { ControlPool } from '../database/pools.js';

const DATABASE_BOUND_MS = 1_000;

/** Whether this instance should be sent requests: it is not shutting down and PostgreSQL answers it. */
@Injectable()
export class Readiness {
  #isDraining = false;
  #check: Promise<void> | undefined;

  constructor(private readonly pool: ControlPool) {}

  /** From now on not ready, so that a balancer looks elsewhere while the last requests are answered. */
  startDraining(): void {
    this.#isDraining = true;
  }

  /**
   * Askers at one time share one question, so that they cannot use up the pool.
   * @throws AppError `service.unavailable`
   */
  async assertReady(): Promise<void> {
    if (this.#isDraining) throw new AppError('service.unavailable', 'This instance is shutting down.');
    this.#check ??= this.#askDatabase().finally(() => {
      this.#check = undefined;
    });
    await this.#check;
  }

  async #askDatabase(): Promise<void> {
    const answered = new AbortController();
    try {
      await Promise.race([this.pool.query('SELECT 1'), failAfter(DATABASE_BOUND_MS, answered.signal)]);
    } catch (cause) {
      throw new AppError('service.unavailable', 'PostgreSQL does not answer.', {
        cause,
        retryAfterSeconds: 1,
      });
    } finally {
      answered.abort();
    }
  }
}

async function failAfter(milliseconds: number, signal: AbortSignal): Promise<never> {
  await sleep(milliseconds, undefined, { signal });
  throw new Error(`No answer within ${milliseconds} ms.`);
}
