import { Injectable } from '@nestjs/common';
import { Config } from '../config/config.js';
import { DELETION_SLACK, Maintenance } from '../database/maintenance.js';

/** Well ahead: a long reader may keep partitions from being made for days. */
const DAYS_AHEAD = 8;
const DAYS_BACK = 31;

/** Makes the partitions of the coming days, drops those past retention, and forgets request ids by whole generations. */
@Injectable()
export class UsageUpkeep {
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
      run: async (client) => {
        await client.query('SELECT rotate_usage_requests()');
      },
    });
  }
}
