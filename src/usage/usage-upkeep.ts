import { Injectable } from '@nestjs/common';
import type { PoolClient } from 'pg';
import { Config } from '../config/config.js';
import { DELETION_SLACK, Maintenance } from '../database/maintenance.js';

/** Rows taken away in one go, so that no statement is long. */
const EXPIRED_AT_ONCE = 20_000;
/** Well ahead: a long reader may keep partitions from being made for days. */
const DAYS_AHEAD = 8;
const DAYS_BACK = 31;

/** Makes the partitions of the coming days, drops those past retention, and forgets request ids after 31 days. */
@Injectable()
export class UsageUpkeep {
  /** By partition of the request ids: up to which time they were deleted, so that dead rows are not read again. */
  readonly #goneUpTo = new Map<string, string>();

  constructor(config: Config, maintenance: Maintenance) {
    maintenance.register({
      name: 'make-usage-partitions',
      everySeconds: 600,
      isDestructive: false,
      run: async (client) => {
        await client.query(
          `SELECT ensure_usage_event_partitions((now() AT TIME ZONE 'UTC')::date - $1::integer, $2)`,
          [DAYS_BACK, DAYS_BACK + 1 + DAYS_AHEAD],
        );
      },
    });
    maintenance.register({
      name: 'drop-usage-partitions',
      everySeconds: 600,
      isDestructive: true,
      run: async (client) => {
        await client.query(
          `SELECT drop_usage_event_partitions(((now() - ${DELETION_SLACK}) AT TIME ZONE 'UTC')::date - $1::integer)`,
          [config.usageRetentionDays],
        );
      },
    });
    maintenance.register({
      name: 'expire-usage-request-ids',
      everySeconds: 60,
      isDestructive: true,
      run: (client) => this.#expireRequestIds(client),
    });
  }

  /** A batch of the oldest of each partition; there is more as long as one of them was full. */
  async #expireRequestIds(client: PoolClient): Promise<'more' | void> {
    await client.query(ONLY_BY_INDEX);
    const { rows: partitions } = await client.query<{ name: string }>(PARTITIONS_OF_REQUEST_IDS);
    let isMore = false;
    for (const { name } of partitions) {
      const values = [this.#goneUpTo.get(name) ?? '-infinity', EXPIRED_AT_ONCE];
      const { rows } = await client.query<{ removed: number; newest: string | null }>(
        expireRequestIds(name),
        values,
      );
      const [batch] = rows;
      if (batch?.newest !== null && batch?.newest !== undefined) this.#goneUpTo.set(name, batch.newest);
      if (batch?.removed === EXPIRED_AT_ONCE) isMore = true;
      // A batch that is not full reached the end: the next turn starts again at the oldest.
      else this.#goneUpTo.delete(name);
    }
    return isMore ? 'more' : undefined;
  }
}

/** Whatever the statistics say of tables that have just grown or shrunk: no batch reads more than it deletes. */
export const ONLY_BY_INDEX = 'SET LOCAL enable_seqscan = off; SET LOCAL enable_bitmapscan = off';

const PARTITIONS_OF_REQUEST_IDS = `
  SELECT inhrelid::regclass::text AS name FROM pg_inherits
  WHERE inhparent = 'usage_request_ids'::regclass ORDER BY 1`;

/**
 * Finds the oldest rows of a partition by the index of received_at, and deletes them by their ctid. Rows lie in the order
 * of their receipt, so whole pages become free at once.
 */
export function expireRequestIds(partition: string): string {
  return `
    WITH removed AS (
      DELETE FROM ${partition} WHERE ctid = ANY(ARRAY(
        SELECT ctid FROM ${partition}
        WHERE received_at >= $1 AND received_at < now() - interval '31 days'
        ORDER BY received_at LIMIT $2))
      RETURNING received_at
    )
    SELECT count(*)::int AS removed, max(received_at)::text AS newest FROM removed`;
}
