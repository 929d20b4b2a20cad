import { Injectable, Logger, type OnApplicationShutdown, type OnModuleInit } from '@nestjs/common';
import { BackgroundPool } from '../database/pools.js';
import type { CachedKey } from './cached-key.js';

const FLUSH_MS = 20_000;
/** Beyond this many secrets waiting, the write comes early. */
const MOST_WAITING = 50_000;
const ROWS_PER_STATEMENT = 5_000;

interface Use {
  readonly apiKeyId: number;
  atMs: number;
}

/**
 * Keeps `last_used_at` of keys and secrets true to within a minute without a write per request: uses are noted in memory,
 * and the newest of each secret is written every 20 seconds. A later time written by another instance is never replaced
 * by an earlier.
 */
@Injectable()
export class LastUse implements OnModuleInit, OnApplicationShutdown {
  readonly #logger = new Logger(LastUse.name);
  /** By digest of the secret, one character a byte. */
  #noted = new Map<string, Use>();
  #writing: Promise<void> | undefined;
  #timer: NodeJS.Timeout | undefined;

  constructor(private readonly pool: BackgroundPool) {}

  record({ apiKeyId, secretDigest }: CachedKey, atMs: number): void {
    const noted = this.#noted.get(secretDigest);
    if (noted !== undefined) {
      noted.atMs = atMs;
      return;
    }
    this.#noted.set(secretDigest, { apiKeyId, atMs });
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
    const entries = [...noted].toSorted(([, a], [, b]) => a.apiKeyId - b.apiKeyId);
    for (let start = 0; start < entries.length; start += ROWS_PER_STATEMENT) {
      const part = entries.slice(start, start + ROWS_PER_STATEMENT);
      try {
        await this.#writePart(part);
      } catch (error) {
        this.#logger.warn(
          `The last uses of ${part.length} secrets could not be written yet: ${String(error)}`,
        );
        for (const [digest, use] of part) if (!this.#noted.has(digest)) this.#noted.set(digest, use);
      }
    }
  }

  /** A secret that is being changed just now is passed over, so that no change waits and none is waited for. */
  async #writePart(entries: readonly (readonly [string, Use])[]): Promise<void> {
    await this.pool.query({
      name: 'note_last_use',
      text: `
        WITH used AS MATERIALIZED (
          SELECT digest, api_key_id, to_timestamp(at_ms / 1000.0) AS used_at
          FROM unnest($1::bytea[], $2::bigint[], $3::bigint[]) AS used (digest, api_key_id, at_ms)
        ), locked AS MATERIALIZED (
          SELECT secrets.digest, used.used_at FROM used JOIN api_key_secrets AS secrets ON secrets.digest = used.digest
          FOR NO KEY UPDATE OF secrets SKIP LOCKED
        ), of_secrets AS (
          UPDATE api_key_secrets AS secrets SET last_used_at = greatest(secrets.last_used_at, locked.used_at)
          FROM locked WHERE secrets.digest = locked.digest
        )
        INSERT INTO api_key_totals AS totals (api_key_id, last_used_at)
        SELECT api_key_id, max(used_at) FROM used GROUP BY api_key_id ORDER BY api_key_id
        ON CONFLICT (api_key_id) DO UPDATE SET last_used_at = greatest(totals.last_used_at, excluded.last_used_at)`,
      values: [
        entries.map(([digest]) => Buffer.from(digest, 'latin1')),
        entries.map(([, { apiKeyId }]) => apiKeyId),
        entries.map(([, { atMs }]) => atMs),
      ],
    });
  }
}
