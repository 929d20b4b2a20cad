import { randomUUID } from 'node:crypto';
import { Injectable, Logger, type OnApplicationShutdown, type OnModuleInit } from '@nestjs/common';
import { Config } from '../config/config.js';
import { DELETION_SLACK, Maintenance } from '../jobs/maintenance.service.js';
import { BackgroundPool } from '../database/pools.js';
import { Metrics } from '../observability/metrics.service.js';

const BEAT_EVERY_MS = 5_000;
/** An instance not seen for three beats is gone. */
const ALIVE = `seen_at > now() - interval '15 seconds'`;

/** Others that have been seen since this one started: not the one it replaces, which may have been killed just now. */
const BEAT = {
  name: 'beat_instance',
  text: `
    WITH self AS (
      INSERT INTO instances (id) VALUES ($1)
      ON CONFLICT (id) DO UPDATE SET seen_at = now()
      RETURNING started_at
    ), others AS (
      SELECT seen_at > self.started_at AS is_beside_this FROM instances, self WHERE id <> $1 AND ${ALIVE}
    )
    SELECT count(*) AS others, count(*) FILTER (WHERE is_beside_this) AS beside_this FROM others`,
  // Milliseconds.
  query_timeout: 2_000,
};

/**
 * How many instances share this database, by a heartbeat each. Limits are divided by it when Redis is unavailable, for
 * which it must not depend on Redis; and without one, more than one instance is more likely a mistake than meant.
 */
@Injectable()
export class InstanceRegistry implements OnModuleInit, OnApplicationShutdown {
  readonly #logger = new Logger(InstanceRegistry.name);
  readonly #id = randomUUID();
  readonly #hasRedis: boolean;
  #count = 1;
  #hasWarned = false;
  #timer: NodeJS.Timeout | undefined;
  #beating: Promise<void> | undefined;

  constructor(
    config: Config,
    private readonly pool: BackgroundPool,
    maintenance: Maintenance,
    metrics: Metrics,
  ) {
    this.#hasRedis = config.redisUrl !== undefined;
    const count = () => this.#count;
    metrics.gauge({
      name: 'latchkey_instances',
      help: 'Instances that share the database, this one included, as last counted.',
      collect() {
        this.set(count());
      },
    });
    maintenance.register({
      name: 'forget-instances',
      purpose: 'deletes instances that have not been seen for two hours',
      everySeconds: 3_600,
      isDestructive: true,
      run: async (client) => {
        await client.query(`DELETE FROM instances WHERE seen_at < now() - ${DELETION_SLACK}`);
      },
    });
  }

  /** Instances alive, this one included; the last count known while PostgreSQL is unavailable. */
  get count(): number {
    return this.#count;
  }

  async onModuleInit(): Promise<void> {
    await this.beat();
    this.#timer = setInterval(() => void this.beat(), BEAT_EVERY_MS);
    this.#timer.unref();
  }

  async onApplicationShutdown(): Promise<void> {
    clearInterval(this.#timer);
    await this.#beating;
    await this.pool.query({ text: 'DELETE FROM instances WHERE id = $1', values: [this.#id] });
  }

  /** Says that this instance lives, and counts those that do. Never rejected. */
  beat(): Promise<void> {
    this.#beating ??= this.#beat()
      .catch((error: unknown) => this.#logger.debug(`The instances were not counted: ${String(error)}`))
      .finally(() => {
        this.#beating = undefined;
      });
    return this.#beating;
  }

  async #beat(): Promise<void> {
    const { rows } = await this.pool.query<{ others: number; beside_this: number }>({
      ...BEAT,
      values: [this.#id],
    });
    const [counts] = rows;
    if (counts === undefined) return;
    this.#count = 1 + counts.others;
    const isAlone = counts.beside_this === 0;
    if (!isAlone && !this.#hasRedis && !this.#hasWarned) {
      this.#logger.warn(
        `Another instance uses this database, and REDIS_URL is not set: each of the ${1 + counts.beside_this} ` +
          'enforces rate limits on its own, so that a key may have that many times its limit.',
      );
    }
    this.#hasWarned = !isAlone;
  }
}
