import { Injectable, Logger, type OnApplicationBootstrap, type OnModuleDestroy } from '@nestjs/common';
import type { PoolClient } from 'pg';
import { IS_CLOCK_BELIEVED } from './clock-guard.service.js';
import { BackgroundPool } from '../database/pools.js';

/** Work that one instance at a time does for all: folding counters, deleting expired rows, creating partitions. */
export interface MaintenanceJob {
  readonly name: string;
  /** What it does, as the table of jobs in `docs/operations.md` says it: `deletes …`. */
  readonly purpose: string;
  readonly everySeconds: number;
  /**
   * Whether it deletes by the current time. It then does not run while the clock is doubted (`ClockGuard`), and keeps rows
   * for at least `DELETION_SLACK` after they expired. With much to delete it does so in parts, each in its own transaction.
   */
  readonly isDestructive: boolean;
  /** In a transaction of its own. `more` when it did a part: the next part runs at once in the next transaction. */
  run(client: PoolClient): Promise<'more' | void>;
}

/** SQL interval by which jobs delete later than they could: a trusted clock may be an hour ahead. */
export const DELETION_SLACK = `interval '2 hours'`;

/** How long the parts of one job may run one after the other in one turn, in milliseconds. */
const LONGEST_TURN_MS = 30_000;

interface ScheduledJob extends MaintenanceJob {
  running: Promise<void> | undefined;
  timer: NodeJS.Timeout | undefined;
}

/**
 * Runs jobs on a timer. An advisory lock per job keeps the other instances out; a job that fails is logged and
 * tried again at its next turn. Each job runs once at start, so that a short-lived instance does its share.
 */
@Injectable()
export class Maintenance implements OnApplicationBootstrap, OnModuleDestroy {
  readonly #logger = new Logger(Maintenance.name);
  readonly #jobs: ScheduledJob[] = [];
  #isStopping = false;

  constructor(private readonly pool: BackgroundPool) {}

  /** Adds a job; call it while modules are being made. */
  register(job: MaintenanceJob): void {
    this.#jobs.push({ ...job, run: (client) => job.run(client), running: undefined, timer: undefined });
  }

  /** Every job there is. */
  get jobs(): readonly MaintenanceJob[] {
    return this.#jobs;
  }

  onApplicationBootstrap(): void {
    for (const job of this.#jobs) {
      this.#start(job);
      job.timer = setInterval(() => this.#start(job), job.everySeconds * 1000);
      job.timer.unref();
    }
  }

  async onModuleDestroy(): Promise<void> {
    this.#isStopping = true;
    for (const job of this.#jobs) clearInterval(job.timer);
    await Promise.all(this.#jobs.map((job) => job.running ?? Promise.resolve()));
  }

  /** Runs one job now, unless another instance is running it; for tests and the command line. */
  async runNow(name: string): Promise<void> {
    const job = this.#jobs.find((candidate) => candidate.name === name);
    if (job === undefined) throw new Error(`There is no maintenance job named ${name}.`);
    await job.running;
    await this.#runParts(job);
  }

  #start(job: ScheduledJob): void {
    job.running ??= this.#runParts(job)
      .catch((error: unknown) => this.#logger.warn(`Job ${job.name} failed: ${String(error)}`))
      .finally(() => {
        job.running = undefined;
      });
  }

  /** Each part commits by itself, so that one that fails takes nothing of the others back. */
  async #runParts(job: ScheduledJob): Promise<void> {
    const endsAtMs = performance.now() + LONGEST_TURN_MS;
    while ((await this.#runExclusively(job)) === 'more') {
      if (this.#isStopping || performance.now() >= endsAtMs) return;
    }
  }

  async #runExclusively(job: ScheduledJob): Promise<'more' | void> {
    const client = await this.pool.connect();
    try {
      await client.query('BEGIN');
      const { rows } = await client.query<{ is_locked: boolean; is_believed: boolean }>(
        `SELECT pg_try_advisory_xact_lock(hashtextextended($1, 0)) AS is_locked, ${IS_CLOCK_BELIEVED} AS is_believed`,
        [`latchkey:${job.name}`],
      );
      const mayRun = rows[0]?.is_locked === true && (rows[0].is_believed || !job.isDestructive);
      const progress = mayRun ? await job.run(client) : undefined;
      await client.query('COMMIT');
      client.release();
      return progress;
    } catch (error) {
      // Rolled back before the caller learns of the failure: a session that is only closed keeps the lock of the job a moment longer.
      await client.query('ROLLBACK').catch(() => undefined);
      client.release(true);
      throw error;
    }
  }
}
