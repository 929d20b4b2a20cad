import { Injectable, type OnModuleDestroy } from '@nestjs/common';
import { Propagation, Transactional, TransactionHost } from '@nestjs-cls/transactional';
import type { TransactionalAdapterTypeOrm } from '@nestjs-cls/transactional-adapter-typeorm';
import { GroupCommit } from '../common/group-commit.js';
import { BackgroundPool } from '../database/pools.js';
import { runPrepared } from '../database/prepared-statement.js';
import type { AuditLog } from './audit-log.entity.js';

const COLUMNS = `id, resource_id, details, created_at, user_id, api_key_id, action, resource_type, ip_address,
  user_agent, request_id, success, organization_id`;

const INSERT_ONE = {
  name: 'insert_audit_log',
  text: `INSERT INTO audit_logs (${COLUMNS}) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)`,
};

/** Rows that differ only in id, resource and details. */
const INSERT_OF_ONE_EVENT = {
  name: 'insert_audit_logs_of_one_event',
  text: `
    INSERT INTO audit_logs (${COLUMNS}, position)
    SELECT id, "resourceId", details, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, (SELECT audit_log_position())
    FROM json_to_recordset($1) AS own (id uuid, "resourceId" text, details jsonb)`,
};

/** The ids are the application's: a row whose first insert had an unknown outcome may be there already. */
const INSERT_MANY = {
  name: 'insert_audit_logs',
  text: `
    INSERT INTO audit_logs (${COLUMNS}, position)
    SELECT id, "resourceId", details, "createdAt", "userId", "apiKeyId", action, "resourceType", "ipAddress",
      "userAgent", "requestId", success, "organizationId", (SELECT audit_log_position())
    FROM json_to_recordset($1) AS row (
      id uuid, "createdAt" timestamptz, "userId" bigint, "apiKeyId" bigint, action text, "resourceType" text,
      "resourceId" text, details jsonb, "ipAddress" text, "userAgent" text, "requestId" text, success boolean,
      "organizationId" bigint
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

  /** Adds the rows of an event to the open transaction: they commit with the change they record, or neither does. */
  @Transactional(Propagation.Mandatory)
  async addToChange(rows: readonly AuditLog[]): Promise<void> {
    const [row] = rows;
    if (row === undefined) return;
    const isOne = rows.length === 1;
    const own = isOne
      ? [row.id, row.resourceId, JSON.stringify(row.details)]
      : [JSON.stringify(rows.map(({ id, resourceId, details }) => ({ id, resourceId, details })))];
    await runPrepared(this.transactions.tx, isOne ? INSERT_ONE : INSERT_OF_ONE_EVENT, [
      ...own,
      row.createdAt,
      row.userId,
      row.apiKeyId,
      row.action,
      row.resourceType,
      row.ipAddress,
      row.userAgent,
      row.requestId,
      row.success,
      row.organizationId,
    ]);
  }

  /** Resolves once the rows are committed, in one statement with those of other callers. */
  async addObservations(rows: readonly AuditLog[]): Promise<void> {
    await Promise.all(rows.map((row) => this.#observations.submit(row)));
  }

  async onModuleDestroy(): Promise<void> {
    await this.#observations.drain();
  }
}
