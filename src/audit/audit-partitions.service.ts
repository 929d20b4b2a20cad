import { Injectable, type OnModuleInit } from '@nestjs/common';
import { Maintenance } from '../jobs/maintenance.service.js';
import { BackgroundPool } from '../database/pools.js';

const ONE_HOUR_SECONDS = 3_600;

/**
 * Creates the partitions of this month and the two after it, drops those of months past retention once a digest of them
 * is in the log, and continues the numbers of rows after a move to another server.
 */
@Injectable()
export class AuditPartitions implements OnModuleInit {
  constructor(
    maintenance: Maintenance,
    private readonly pool: BackgroundPool,
  ) {
    maintenance.register({
      name: 'make-audit-log-partitions',
      purpose: 'creates the partitions of the audit log for this month and the next two',
      everySeconds: ONE_HOUR_SECONDS,
      isDestructive: false,
      run: async (client) => {
        await client.query(`SELECT ensure_audit_log_partitions((now() AT TIME ZONE 'UTC')::date, 3)`);
      },
    });
    maintenance.register({
      name: 'drop-audit-log-partitions',
      purpose:
        'drops the months that are older than `AUDIT_RETENTION_MONTHS`, and writes a digest of each into the log',
      everySeconds: 600,
      isDestructive: true,
      run: async (client) => {
        const { rows } = await client.query<{ more: number }>('SELECT drop_audit_log_partitions() AS more');
        return rows[0]?.more === 1 ? 'more' : undefined;
      },
    });
    maintenance.register({
      name: 'continue-audit-log-numbers',
      purpose: 'continues the numbers of audit rows after a move to another server',
      everySeconds: 60,
      isDestructive: false,
      run: async (client) => {
        await client.query('SELECT continue_audit_log_numbers()');
      },
    });
  }

  /** Before the first row is written. */
  async onModuleInit(): Promise<void> {
    await this.pool.query('SELECT continue_audit_log_numbers()');
  }
}
