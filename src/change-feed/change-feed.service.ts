import {
  Injectable,
  Logger,
  type OnApplicationBootstrap,
  type OnModuleInit,
  type OnApplicationShutdown,
} from '@nestjs/common';
import type { PoolClient } from 'pg';
import { AppError } from '../common/app-error.js';
import { EXPIRE_CHANGE_FEED } from './change-feed-expiry.js';
import { ChangeListener } from './change-listener.service.js';
import { type Change, EVERYTHING, toChange } from './changes.js';
import { Evictions } from './evictions.js';
import { DatabaseServer, SERVER_STATE } from '../database/database-server.js';
import { Maintenance } from '../jobs/maintenance.service.js';
import { NotPrimaryError } from '../database/not-primary-error.js';
import { FeedPool } from '../database/pools.js';

interface FeedRow {
  readonly is_read_only: boolean;
  readonly server: string;
  readonly read_at: string;
  readonly snapshot: string;
  readonly horizon: string;
  readonly kind: Change['kind'] | null;
  readonly id: number | null;
}

/** What was read may be used only while the feed is younger than this. */
const FRESH_MS = 5_000;
const POLL_MS = 500;
const RETRY_MS = 100;
/** More changes than this at once are read as everything: a read must never take so long that it is given up. */
const MOST_CHANGES = 10_000;

/**
 * Rows of transactions that had not begun, or not ended, in the snapshot of an earlier read ($1), and rows written since
 * a moment ($2) by the clock of the server. Each part is ordered as its index is, so that none ever reads the whole feed.
 */
const READ_FEED = {
  name: 'read_change_feed',
  text: `
    SELECT ${SERVER_STATE}, clock_timestamp()::text AS read_at,
      pg_current_snapshot()::text AS snapshot, horizon.xid::text AS horizon, news.kind, news.id
    FROM change_feed_horizon AS horizon
    LEFT JOIN (
      SELECT * FROM (
        (SELECT kind, id FROM change_feed WHERE xid >= pg_snapshot_xmax($1::pg_snapshot)
          ORDER BY xid LIMIT ${MOST_CHANGES + 1})
        UNION ALL
        SELECT late.kind, late.id FROM pg_snapshot_xip($1::pg_snapshot) AS open (xid) CROSS JOIN LATERAL
          (SELECT kind, id FROM change_feed WHERE xid BETWEEN open.xid AND open.xid
            ORDER BY xid LIMIT ${MOST_CHANGES + 1}) AS late
        UNION ALL
        (SELECT kind, id FROM change_feed WHERE created_at >= $2::timestamptz - interval '1 minute'
          ORDER BY created_at LIMIT ${MOST_CHANGES + 1})
      ) AS parts LIMIT ${MOST_CHANGES + 1}
    ) AS news ON true`,
};

/**
 * Tells caches what changed in the database, by whatever means. One statement reads every row that was not visible
 * in the snapshot of the read before, and the snapshot it sees itself, from which the next one goes on. A transaction
 * that commits late is thus read late but never missed, and a long one elsewhere delays and costs nothing.
 *
 * That holds within one connection. A new one may have met a server that crashed and gives the numbers of lost
 * transactions again, so it also reads what was written since a minute before the last read. A server that was started
 * again may be another one with another history, so everything is evicted. Connections to one that has become read-only, or
 * a standby, are closed: it may not show what is changed on the primary.
 *
 * A notification only makes the next read come at once. The feed's age, which decides whether caches may be used,
 * counts from before the last good read was sent.
 */
@Injectable()
export class ChangeFeed implements OnModuleInit, OnApplicationBootstrap, OnApplicationShutdown {
  readonly #logger = new Logger(ChangeFeed.name);
  /** What changed, and when, as far as this instance has read. */
  readonly evictions = new Evictions();
  readonly #subscribers: ((changes: readonly Change[]) => void)[] = [];
  #last: LastRead | undefined;
  #readSentAt = Number.NEGATIVE_INFINITY;
  #reading: Promise<void> | undefined;
  /** How many reads were asked for, and how many of those a read that has ended was sent after. */
  #asked = 0;
  #answered = 0;
  #timer: NodeJS.Timeout | undefined;
  #isStopped = false;

  constructor(
    private readonly pool: FeedPool,
    private readonly listener: ChangeListener,
    private readonly database: DatabaseServer,
    maintenance: Maintenance,
  ) {
    maintenance.register({
      name: 'expire-change-feed',
      purpose: 'deletes rows of the change feed that are older than 10 minutes',
      everySeconds: 60,
      isDestructive: true,
      run: async (client) => {
        await client.query(EXPIRE_CHANGE_FEED);
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

  /** @throws AppError `service.unavailable` when what was read from the database may not be used any more */
  requireFresh(): void {
    if (this.ageMs() < FRESH_MS) return;
    const detail = 'What is in memory is too old to answer from; the database does not answer.';
    throw new AppError('service.unavailable', detail, { retryAfterSeconds: 1 });
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
    this.#asked += 1;
    const own = this.#asked;
    while (this.#answered < own && !this.#isStopped) {
      this.#reading ??= this.#read().finally(() => {
        this.#reading = undefined;
      });
      await this.#reading;
    }
  }

  /** Resolves once caches know of a change that committed; of `changes` also while the feed cannot be read. */
  async catchUp(changes: readonly Change[]): Promise<void> {
    this.#tell(changes);
    await this.readNow();
  }

  #tell(changes: readonly Change[]): void {
    this.evictions.apply(changes);
    for (const subscriber of this.#subscribers) subscriber(changes);
  }

  #schedule(delayMs: number): void {
    if (this.#isStopped) return;
    this.#timer = setTimeout(() => {
      void this.readNow().finally(() => this.#schedule(this.ageMs() < POLL_MS ? POLL_MS : RETRY_MS));
    }, delayMs);
    this.#timer.unref();
  }

  async #read(): Promise<void> {
    const asked = this.#asked;
    const sentAt = performance.now();
    try {
      await this.#readOn(await this.pool.connect());
      this.#readSentAt = sentAt;
    } catch (error) {
      if (this.ageMs() < FRESH_MS) this.#logger.debug(`The change feed could not be read: ${String(error)}`);
      else this.#logger.warn(`The change feed is too old to answer from memory: ${String(error)}`);
    }
    this.#answered = asked;
  }

  async #readOn(client: PoolClient): Promise<void> {
    try {
      const last = this.#last;
      const since = last?.client === client ? 'infinity' : (last?.readAt ?? '-infinity');
      const { rows } = await client.query<FeedRow>({
        ...READ_FEED,
        values: [last?.snapshot ?? NOTHING_SEEN, since],
      });
      this.#apply(rows, client);
      client.release();
    } catch (error) {
      client.release(true);
      throw error;
    }
  }

  #apply(rows: readonly FeedRow[], client: PoolClient): void {
    const [first] = rows;
    if (first === undefined) throw new Error('The change feed has lost its horizon.');
    const { server, read_at: readAt, snapshot } = first;
    if (first.is_read_only) {
      this.database.closeConnections();
      throw new NotPrimaryError('The server has become a standby, or read-only: its data may be old.');
    }
    const isAllNews = rows.length > MOST_CHANGES || !followsOn(first, this.#last);
    const changes = isAllNews
      ? [EVERYTHING]
      : rows.flatMap((row) => (row.kind === null ? [] : [toChange(row)]));
    if (changes.length > 0) this.#tell(changes);
    this.#last = { client, server, readAt, snapshot };
  }
}

/** The last good read: where, and what it saw. */
interface LastRead {
  readonly client: PoolClient;
  readonly server: string;
  /** By the clock of the server. */
  readonly readAt: string;
  readonly snapshot: string;
}

/** Anything was after it. */
const NOTHING_SEEN = '1:1:';

/** False when changes may have come and gone since the last read: on another server, or expired before they were read. */
function followsOn({ server, snapshot, horizon }: FeedRow, last: LastRead | undefined): boolean {
  if (last === undefined || last.server !== server) return false;
  const expired = BigInt(horizon);
  // A horizon from the future is of no meaning here; the next expiry corrects it.
  return expired < boundsOf(last.snapshot).xmin || expired >= boundsOf(snapshot).xmax;
}

/** Of a `pg_snapshot` as text, `xmin:xmax:xip,…`. */
function boundsOf(snapshot: string): { readonly xmin: bigint; readonly xmax: bigint } {
  const [xmin = '', xmax = ''] = snapshot.split(':');
  return { xmin: BigInt(xmin), xmax: BigInt(xmax) };
}
