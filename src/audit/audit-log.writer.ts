import { Injectable, type OnModuleDestroy } from '@nestjs/common';
import { Propagation, Transactional, TransactionHost } from '@nestjs-cls/transactional';
import type { TransactionalAdapterTypeOrm } from '@nestjs-cls/transactional-adapter-typeorm';
import { GroupCommit } from '../common/group-commit.js';
import { BackgroundPool } from '../database/pools.js';
import { runPrepared } from '../database/prepared-statement.js';
import type { AuditLog } from './audit-log.entity.js';

const COLUMNS = `id, created_at, user_id, api_key_id, action, resource_type, resource_id, details,
  ip_address, user_agent, request_id, success`;

const INSERT_ONE = {
  name: 'insert_audit_log',
  text: `INSERT INTO audit_logs (${COLUMNS}) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)`,
};

/** The ids are the application's: a row whose first insert had an unknown outcome may be there already. */
const INSERT_MANY = {
  name: 'insert_audit_logs',
  text: `
    INSERT INTO audit_logs (${COLUMNS})
    SELECT id, "createdAt", "userId", "apiKeyId", action, "resourceType", "resourceId", details,
      "ipAddress", "userAgent", "requestId", success
    FROM json_to_recordset($1) AS row (
      id uuid, "createdAt" timestamptz, "userId" bigint, "apiKeyId" bigint, action text, "resourceType" text,
      "resourceId" text, details jsonb, "ipAddress" text, "userAgent" text, "requestId" text, success boolean
    )
    ON CONFLICT DO NOTHING`,
  // Milliseconds. A caller waits for it, unlike for most of what the background pool does.
  query_timeout: 2_500,
};

/** Adds rows to the audit log: those of changes within the change, those of reads many at a time. */
@Injectable()
export class AuditLogWriter implements OnModuleDestroy {
  readonly #observations: GroupCommit<AuditLog>;

  constructor(
    private readonly transactions: TransactionHost<TransactionalAdapterTypeOrm>,
    pool: BackgroundPool,
  ) {
    this.#observations = new GroupCommit<AuditLog>({
      commit: async (rows) => {
        await pool.query({ ...INSERT_MANY, values: [JSON.stringify(rows)] });
        return rows.map(() => undefined);
      },
    });
  }

  /** Adds a row to the open transaction: it commits with the change it tells of, or neither does. */
  @Transactional(Propagation.Mandatory)
  async addToChange(row: AuditLog): Promise<void> {
    await runPrepared(this.transactions.tx, INSERT_ONE, [
      row.id,
      row.createdAt,
      row.userId,
      row.apiKeyId,
      row.action,
      row.resourceType,
      row.resourceId,
      JSON.stringify(row.details),
      row.ipAddress,
      row.userAgent,
      row.requestId,
      row.success,
    ]);
  }

  /** Resolves once the row is committed, in one statement with those of other callers. */
  addObservation(row: AuditLog): Promise<void> {
    return this.#observations.submit(row);
  }

  async onModuleDestroy(): Promise<void> {
    await this.#observations.drain();
  }
}
