import { Injectable } from '@nestjs/common';
import { Config } from '../config/config.js';
import { DELETION_SLACK, Maintenance } from '../jobs/maintenance.service.js';

/** Well ahead: a long reader may keep partitions from being made for days. */
const DAYS_AHEAD = 8;
const DAYS_BACK = 31;

/** Makes the partitions of the coming days, drops those past retention, and forgets request ids by whole generations. */
@Injectable()
export class UsageMaintenance {
  constructor(config: Config, maintenance: Maintenance) {
    maintenance.register({
      name: 'make-usage-partitions',
      purpose:
        'creates the partitions of usage events of the next 8 days, and moves events there that came before their partition',
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
      purpose: 'drops partitions of usage events older than `USAGE_RETENTION_DAYS`',
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
      purpose:
        'starts a new generation of usage request ids every 31 days, and drops a generation 31 days after it ended',
      everySeconds: 60,
      isDestructive: true,
      run: async (client) => {
        await client.query('SELECT rotate_usage_requests()');
      },
    });
  }
}
