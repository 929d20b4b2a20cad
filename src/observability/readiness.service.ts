import { setTimeout as sleep } from 'node:timers/promises';
import { Injectable } from '@nestjs/common';
import { AppError } from '../common/app-error.js';
import { ChangeFeed } from '../change-feed/change-feed.service.js';
import { ControlPool } from '../database/pools.js';
import { SchemaState } from '../database/schema-state.service.js';

const DATABASE_BOUND_MS = 1_000;

/**
 * Whether this instance should get requests: it is not shutting down, PostgreSQL responds, accepts writes and has the schema
 * that this version works on, and the change feed was read recently.
 */
@Injectable()
export class Readiness {
  #isDraining = false;
  #check: Promise<void> | undefined;

  constructor(
    private readonly pool: ControlPool,
    private readonly schema: SchemaState,
    private readonly changes: ChangeFeed,
  ) {}

  /** From now on not ready, so that a balancer looks elsewhere while the last requests are answered. */
  startDraining(): void {
    this.#isDraining = true;
  }

  /**
   * Concurrent calls share one check, so that they cannot use up the pool.
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
    const problem = await this.#problemOfDatabase();
    if (problem !== undefined) throw new AppError('service.unavailable', problem, { retryAfterSeconds: 1 });
    this.changes.requireFresh();
  }

  async #problemOfDatabase(): Promise<string | undefined> {
    const answered = new AbortController();
    try {
      return await Promise.race([
        this.schema.problem(this.pool),
        failAfter(DATABASE_BOUND_MS, answered.signal),
      ]);
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
