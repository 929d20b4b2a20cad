import {
  Injectable,
  Logger,
  type OnApplicationBootstrap,
  type OnModuleInit,
  type OnApplicationShutdown,
} from '@nestjs/common';
import { ChangeListener } from './change-listener.js';
import { Maintenance } from './maintenance.js';
import { FeedPool } from './pools.js';

/** Something that caches must forget. */
export type Change =
  { readonly kind: 'api_key' | 'user'; readonly id: number } | { readonly kind: 'everything' };

interface FeedRow {
  readonly watermark: string;
  readonly horizon: string;
  readonly seq: number | null;
  readonly kind: Change['kind'] | null;
  readonly id: number | null;
}

/** What was read may be used only while the feed is younger than this. */
const FRESH_MS = 5_000;
const POLL_MS = 500;
const RETRY_MS = 100;

const READ_FEED = {
  name: 'read_change_feed',
  text: `
    SELECT position.watermark::text, horizon.xid::text AS horizon, feed.seq, feed.kind, feed.id
    FROM (SELECT pg_snapshot_xmin(pg_current_snapshot()) AS watermark) AS position
    CROSS JOIN change_feed_horizon AS horizon
    LEFT JOIN change_feed AS feed ON feed.xid >= $1::xid8`,
};

/**
 * Tells caches what changed in the database, whoever changed it. One statement reads every visible row from the
 * watermark on, together with the oldest transaction still running; that becomes the next watermark once the rows
 * were applied. A transaction that commits late is thus read late but never missed, and a long one elsewhere
 * delays nobody: rows above the watermark are merely read again, which is harmless.
 *
 * A notification only makes the next read come at once. The feed's age, which decides whether caches may be used,
 * counts from before the last good read was sent.
 */
@Injectable()
export class ChangeFeed implements OnModuleInit, OnApplicationBootstrap, OnApplicationShutdown {
  readonly #logger = new Logger(ChangeFeed.name);
  readonly #subscribers: ((changes: readonly Change[]) => void)[] = [];
  #watermark: bigint | undefined;
  /** Rows at or above the watermark that were applied already. */
  #applied = new Set<number>();
  #readSentAt = Number.NEGATIVE_INFINITY;
  #reading: Promise<void> | undefined;
  #isReadWanted = false;
  #timer: NodeJS.Timeout | undefined;
  #isStopped = false;

  constructor(
    private readonly pool: FeedPool,
    private readonly listener: ChangeListener,
    maintenance: Maintenance,
  ) {
    maintenance.register({
      name: 'expire-change-feed',
      everySeconds: 60,
      run: async (client) => {
        await client.query(`
          WITH removed AS (
            DELETE FROM change_feed
            WHERE xid < pg_snapshot_xmin(pg_current_snapshot()) AND created_at < now() - interval '10 minutes'
            RETURNING xid
          )
          UPDATE change_feed_horizon AS horizon SET xid = greatest(horizon.xid, newest.xid)
          FROM (SELECT max(xid) AS xid FROM removed) AS newest WHERE newest.xid IS NOT NULL`);
      },
    });
  }

  /** Calls `subscriber` with each batch of changes, before the feed counts as fresh again. Subscribe while modules are made. */
  subscribe(subscriber: (changes: readonly Change[]) => void): void {
    this.#subscribers.push(subscriber);
  }

  /** Milliseconds since the moment up to which every committed change is known; infinite before the first read. */
  ageMs(): number {
    return performance.now() - this.#readSentAt;
  }

  /** Whether what was read from the database may still be used. */
  isFresh(): boolean {
    return performance.now() - this.#readSentAt < FRESH_MS;
  }

  async onModuleInit(): Promise<void> {
    await this.readNow();
    this.listener.start(() => void this.readNow());
  }

  onApplicationBootstrap(): void {
    this.#schedule(POLL_MS);
  }

  async onApplicationShutdown(): Promise<void> {
    this.#isStopped = true;
    clearTimeout(this.#timer);
    await this.#reading;
    await this.listener.stop();
  }

  /** Reads once more; resolves when a read that was sent after this call has been applied or has failed. */
  async readNow(): Promise<void> {
    this.#isReadWanted = true;
    while (this.#isReadWanted && !this.#isStopped) {
      this.#reading ??= this.#read().finally(() => {
        this.#reading = undefined;
      });
      await this.#reading;
    }
  }

  #schedule(delayMs: number): void {
    if (this.#isStopped) return;
    this.#timer = setTimeout(() => {
      void this.readNow().finally(() => this.#schedule(this.ageMs() < POLL_MS ? POLL_MS : RETRY_MS));
    }, delayMs);
    this.#timer.unref();
  }

  async #read(): Promise<void> {
    this.#isReadWanted = false;
    const sentAt = performance.now();
    try {
      const { rows } = await this.pool.query<FeedRow>({
        ...READ_FEED,
        values: [String(this.#watermark ?? MAX_XID)],
      });
      this.#apply(rows);
      this.#readSentAt = sentAt;
    } catch (error) {
      if (this.isFresh()) this.#logger.debug(`The change feed could not be read: ${String(error)}`);
      else this.#logger.warn(`The change feed is too old to answer from memory: ${String(error)}`);
    }
  }

  #apply(rows: readonly FeedRow[]): void {
    const [first] = rows;
    if (first === undefined) throw new Error('The change feed has lost its horizon.');
    const isOverrun = this.#watermark === undefined || BigInt(first.horizon) >= this.#watermark;
    const news = rows.filter((row) => row.seq !== null && !this.#applied.has(row.seq));
    const changes: readonly Change[] = isOverrun ? [{ kind: 'everything' }] : news.map(toChange);
    if (changes.length > 0) for (const subscriber of this.#subscribers) subscriber(changes);
    this.#applied = new Set(rows.flatMap((row) => (row.seq === null ? [] : [row.seq])));
    this.#watermark = BigInt(first.watermark);
  }
}

/** Before the first read nothing is cached, so no row is of interest. */
const MAX_XID = 2n ** 63n - 1n;

function toChange({ kind, id }: FeedRow): Change {
  return (kind === 'api_key' || kind === 'user') && id !== null ? { kind, id } : { kind: 'everything' };
}
