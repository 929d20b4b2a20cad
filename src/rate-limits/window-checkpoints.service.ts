import {
  Injectable,
  Logger,
  type OnApplicationBootstrap,
  type OnApplicationShutdown,
  type OnModuleInit,
} from '@nestjs/common';
import { Clock } from '../common/clock.js';
import { Config } from '../config/config.js';
import { DELETION_SLACK, Maintenance } from '../jobs/maintenance.service.js';
import { BackgroundPool } from '../database/pools.js';
import { MemoryRateLimiter } from './memory-rate-limiter.service.js';
import { emptyAtMs, tickOf, WINDOW_WORDS } from './window-rings.policy.js';
import type { WindowRows } from './window-table.js';

/** An end by kill -9 loses what was consumed since the last save: this, and the time that the save takes. */
const SAVE_EVERY_MS = 3_000;
/** Copying this many takes less than a millisecond, which callers wait out. */
const ROWS_PER_STATEMENT = 500;
const ROWS_PER_READ = 10_000;
const WINDOW_BYTES = WINDOW_WORDS * 4;

const SAVE = {
  name: 'save_rate_windows',
  text: `
    INSERT INTO rate_windows (api_key_id, windows, expires_at)
    SELECT api_key_id, substr($2::bytea, ((place - 1) * ${WINDOW_BYTES} + 1)::integer, ${WINDOW_BYTES}),
      to_timestamp(expires_at_ms / 1000)
    FROM unnest($1::bigint[], $3::float8[]) WITH ORDINALITY AS row (api_key_id, expires_at_ms, place)
    ORDER BY api_key_id
    ON CONFLICT (api_key_id) DO UPDATE SET windows = excluded.windows, expires_at = excluded.expires_at`,
  // Milliseconds. The stop of the service waits for it.
  query_timeout: 3_000,
};

/** Rows are read for an hour after they expired, for clocks that disagree. */
const STILL_OF_USE = `expires_at > now() - interval '1 hour'`;

interface WindowRow {
  readonly api_key_id: number;
  readonly windows: Buffer;
}

/**
 * Keeps windows in memory over a restart: saves what changed every few seconds and once more when the last request
 * has been answered, reads all of it back before the first. With Redis it only drops idle windows: those in memory
 * are then a stopgap that starts empty.
 */
@Injectable()
export class WindowCheckpoints implements OnModuleInit, OnApplicationBootstrap, OnApplicationShutdown {
  readonly #logger = new Logger(WindowCheckpoints.name);
  readonly #isSaved: boolean;
  #timer: NodeJS.Timeout | undefined;
  #saving: Promise<void> | undefined;

  constructor(
    config: Config,
    private readonly pool: BackgroundPool,
    private readonly limiter: MemoryRateLimiter,
    private readonly clock: Clock,
    maintenance: Maintenance,
  ) {
    this.#isSaved = config.redisUrl === undefined;
    maintenance.register({
      name: 'expire-rate-windows',
      purpose: 'deletes saved rate windows that are empty by now',
      everySeconds: 3_600,
      isDestructive: true,
      run: async (client) => {
        await client.query(`DELETE FROM rate_windows WHERE expires_at < now() - ${DELETION_SLACK}`);
      },
    });
  }

  async onModuleInit(): Promise<void> {
    if (this.#isSaved) await this.restore();
  }

  onApplicationBootstrap(): void {
    this.#timer = setInterval(() => this.#keep(), SAVE_EVERY_MS);
    this.#timer.unref();
  }

  /** HTTP has stopped by now, and the pool has not: shared modules are shut down last. */
  async onApplicationShutdown(): Promise<void> {
    clearInterval(this.#timer);
    if (!this.#isSaved) return;
    await this.#saving;
    await this.save();
  }

  /** Reads back what was saved; for an instance that has not answered yet. */
  async restore(): Promise<void> {
    const { table } = this.limiter;
    let readUpTo = 0;
    for (;;) {
      const { rows } = await this.pool.query<WindowRow>(
        `SELECT api_key_id, windows FROM rate_windows
         WHERE api_key_id > $1 AND ${STILL_OF_USE} ORDER BY api_key_id LIMIT ${ROWS_PER_READ}`,
        [readUpTo],
      );
      for (const { api_key_id: apiKeyId, windows } of rows) {
        if (table.size >= table.mostKeys) return;
        const slot = table.add(apiKeyId, 0);
        table.wordsOf(slot).set(wordsOf(windows), table.startOf(slot));
        readUpTo = apiKeyId;
      }
      if (rows.length < ROWS_PER_READ) return;
    }
  }

  /**
   * Saves what changed before the call, those keys first that have waited longest.
   * @throws what the database says; what was not saved will be next time
   */
  async save(): Promise<void> {
    const { table } = this.limiter;
    for (let left = table.unsaved; left > 0; left -= ROWS_PER_STATEMENT) {
      const rows = table.takeUnsaved(ROWS_PER_STATEMENT);
      if (rows.apiKeyIds.length === 0) continue;
      try {
        await this.pool.query({ ...SAVE, values: valuesOf(rows) });
      } catch (error) {
        for (const apiKeyId of rows.apiKeyIds) table.markUnsaved(apiKeyId);
        throw error;
      }
    }
  }

  #keep(): void {
    const { table } = this.limiter;
    table.sweep(SWEPT_SLOTS, tickOf(this.clock.nowMs()));
    if (!this.#isSaved) {
      table.takeUnsaved(table.unsaved);
      return;
    }
    this.#saving ??= this.save()
      .catch((error: unknown) => this.#logger.warn(`Rate windows were not saved: ${String(error)}`))
      .finally(() => {
        this.#saving = undefined;
      });
  }
}

/** Slots looked at for idle keys in one sweep: less than a millisecond, and a million of them in ten minutes. */
const SWEPT_SLOTS = 5_000;

function valuesOf({ apiKeyIds, windows }: WindowRows): unknown[] {
  const expiresAtMs = apiKeyIds.map((_id, index) => emptyAtMs(windows, index * WINDOW_WORDS));
  return [apiKeyIds, Buffer.from(windows.buffer), expiresAtMs];
}

/** The row's bytes need not begin where a number may. */
function wordsOf(bytes: Buffer): Uint32Array {
  const words = new Uint32Array(WINDOW_WORDS);
  new Uint8Array(words.buffer).set(bytes);
  return words;
}
