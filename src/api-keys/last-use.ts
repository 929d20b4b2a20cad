import { Injectable, Logger, type OnApplicationShutdown, type OnModuleInit } from '@nestjs/common';
import { BackgroundPool } from '../database/pools.js';

const FLUSH_MS = 20_000;
/** Beyond this many keys waiting, the write comes early. */
const MOST_WAITING = 50_000;
const ROWS_PER_STATEMENT = 5_000;

/**
 * Keeps `last_used_at` true to within a minute without a write per request: uses are noted in memory, and the newest
 * of each key is written every few seconds. A later time written by another instance is never replaced by an earlier.
 */
@Injectable()
export class LastUse implements OnModuleInit, OnApplicationShutdown {
  readonly #logger = new Logger(LastUse.name);
  #noted = new Map<number, number>();
  #writing: Promise<void> | undefined;
  #timer: NodeJS.Timeout | undefined;

  constructor(private readonly pool: BackgroundPool) {}

  note(apiKeyId: number, atMs: number): void {
    this.#noted.set(apiKeyId, atMs);
    if (this.#noted.size >= MOST_WAITING) void this.flush();
  }

  onModuleInit(): void {
    this.#timer = setInterval(() => void this.flush(), FLUSH_MS);
    this.#timer.unref();
  }

  async onApplicationShutdown(): Promise<void> {
    clearInterval(this.#timer);
    await this.flush();
  }

  /** Writes what was noted; what could not be written is noted again. */
  async flush(): Promise<void> {
    while (this.#writing !== undefined) await this.#writing;
    if (this.#noted.size === 0) return;
    this.#writing = this.#write().finally(() => {
      this.#writing = undefined;
    });
    await this.#writing;
  }

  async #write(): Promise<void> {
    const noted = this.#noted;
    this.#noted = new Map();
    // In the order of the keys, so that instances that write the same ones wait for each other and never deadlock.
    const entries = [...noted].toSorted(([a], [b]) => a - b);
    for (let start = 0; start < entries.length; start += ROWS_PER_STATEMENT) {
      const part = entries.slice(start, start + ROWS_PER_STATEMENT);
      try {
        await this.#writePart(part);
      } catch (error) {
        this.#logger.warn(`The last uses of ${part.length} keys could not be written yet: ${String(error)}`);
        for (const [apiKeyId, atMs] of part) if (!this.#noted.has(apiKeyId)) this.#noted.set(apiKeyId, atMs);
      }
    }
  }

  async #writePart(entries: readonly (readonly [number, number])[]): Promise<void> {
    await this.pool.query({
      name: 'note_last_use',
      text: `
        INSERT INTO api_key_totals AS totals (api_key_id, last_used_at)
        SELECT api_key_id, to_timestamp(at_ms / 1000.0) FROM unnest($1::bigint[], $2::bigint[]) AS used (api_key_id, at_ms)
        ON CONFLICT (api_key_id) DO UPDATE SET last_used_at = greatest(totals.last_used_at, excluded.last_used_at)`,
      values: [entries.map(([apiKeyId]) => apiKeyId), entries.map(([, atMs]) => atMs)],
    });
  }
}
