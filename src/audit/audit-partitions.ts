import { Injectable } from '@nestjs/common';
import { Maintenance } from '../database/maintenance.js';

const ONE_DAY_SECONDS = 86_400;

/** Sees to it that the partitions of this month and the two after it exist. */
@Injectable()
export class AuditPartitions {
  constructor(maintenance: Maintenance) {
    maintenance.register({
      name: 'make-audit-log-partitions',
      everySeconds: ONE_DAY_SECONDS,
      run: async (client) => {
        await client.query(`SELECT ensure_audit_log_partitions((now() AT TIME ZONE 'UTC')::date, 3)`);
      },
    });
  }
}
