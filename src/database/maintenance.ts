import { Injectable, Logger, type OnApplicationBootstrap, type OnModuleDestroy } from '@nestjs/common';
import type { PoolClient } from 'pg';
import { BackgroundPool } from './pools.js';

/** Upkeep that one instance at a time does for all: folding counters, expiring rows, making partitions. */
export interface MaintenanceJob {
  readonly name: string;
  readonly everySeconds: number;
  run(client: PoolClient): Promise<void>;
}

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

  constructor(private readonly pool: BackgroundPool) {}

  /** Adds a job; call it while modules are being made. */
  register(job: MaintenanceJob): void {
    this.#jobs.push({ ...job, run: (client) => job.run(client), running: undefined, timer: undefined });
  }

  onApplicationBootstrap(): void {
    for (const job of this.#jobs) {
      this.#start(job);
      job.timer = setInterval(() => this.#start(job), job.everySeconds * 1000);
      job.timer.unref();
    }
  }

  async onModuleDestroy(): Promise<void> {
    for (const job of this.#jobs) clearInterval(job.timer);
    await Promise.all(this.#jobs.map((job) => job.running ?? Promise.resolve()));
  }

  /** Runs one job now, unless another instance is running it; for tests and the command line. */
  async runNow(name: string): Promise<void> {
    const job = this.#jobs.find((candidate) => candidate.name === name);
    if (job === undefined) throw new Error(`There is no maintenance job named ${name}.`);
    await job.running;
    await this.#runExclusively(job);
  }

  #start(job: ScheduledJob): void {
    job.running ??= this.#runExclusively(job)
      .catch((error: unknown) => this.#logger.warn(`Job ${job.name} failed: ${String(error)}`))
      .finally(() => {
        job.running = undefined;
      });
  }

  async #runExclusively(job: MaintenanceJob): Promise<void> {
    const client = await this.pool.connect();
    try {
      await client.query('BEGIN');
      const { rows } = await client.query<{ locked: boolean }>(
        'SELECT pg_try_advisory_xact_lock(hashtextextended($1, 0)) AS locked',
        [`latchkey:${job.name}`],
      );
      if (rows[0]?.locked === true) await job.run(client);
      await client.query('COMMIT');
      client.release();
    } catch (error) {
      client.release(true);
      throw error;
    }
  }
}
