import { Injectable } from '@nestjs/common';
import { Config } from '../config/config.js';
import { Maintenance } from '../database/maintenance.js';

/** Rows taken away in one go, so that no statement is long. */
const EXPIRED_AT_ONCE = 20_000;
const LONGEST_RUN_MS = 30_000;

/** Makes the partitions of the coming days, drops those past retention, and forgets request ids after 30 days. */
@Injectable()
export class UsageUpkeep {
  constructor(config: Config, maintenance: Maintenance) {
    maintenance.register({
      name: 'usage-partitions',
      everySeconds: 3_600,
      run: async (client) => {
        await client.query(`SELECT ensure_usage_event_partitions((now() AT TIME ZONE 'UTC')::date - 31, 35)`);
        await client.query(
          `SELECT drop_usage_event_partitions((now() AT TIME ZONE 'UTC')::date - $1::integer)`,
          [config.usageRetentionDays],
        );
      },
    });
    maintenance.register({
      name: 'expire-usage-request-ids',
      everySeconds: 60,
      run: async (client) => {
        const endsAt = performance.now() + LONGEST_RUN_MS;
        let removed: number | null;
        // Until none is left: ids come in faster than one go a minute would take them away.
        do {
          ({ rowCount: removed } = await client.query(
            `DELETE FROM usage_request_ids WHERE (api_key_id, request_id) IN (
               SELECT api_key_id, request_id FROM usage_request_ids WHERE received_at < now() - interval '31 days' LIMIT $1)`,
            [EXPIRED_AT_ONCE],
          ));
        } while (removed === EXPIRED_AT_ONCE && performance.now() < endsAt);
      },
    });
  }
}
