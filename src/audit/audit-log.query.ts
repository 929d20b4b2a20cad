import type { AuditLogPosition } from './audit-cursor.js';
import type { AuditLog } from './audit-log.entity.js';

/** Which rows; absent members select all. `from` is inclusive, `to` is not. */
export interface AuditLogSelection {
  readonly userId?: number | undefined;
  readonly action?: string | undefined;
  readonly resourceType?: string | undefined;
  readonly resourceId?: string | undefined;
  readonly success?: boolean | undefined;
  readonly from?: Date | undefined;
  readonly to?: Date | undefined;
}

/** A statement with its parameters. */
export interface Statement {
  readonly text: string;
  readonly values: readonly unknown[];
}

/** A row as `pageStatement` answers it. */
export interface AuditLogPageRow extends AuditLog {
  /** `createdAt` with its microseconds. */
  readonly position: string;
  /** How many rows the page could have had. */
  readonly found: number;
}

/** Bytes of details after which a page ends early, so that large rows cannot fill the memory. */
const PAGE_BYTES = 4 * 1024 * 1024;

/**
 * The newest rows of a selection, at most `maxRows`, after a position when one is given. The bounds in time stand
 * alone, beside the comparison of (created_at, id), because only so do they exclude partitions.
 */
export function pageStatement(
  selection: AuditLogSelection,
  after: AuditLogPosition | undefined,
  maxRows: number,
): Statement {
  const values: unknown[] = [];
  const parameter = (value: unknown) => `$${values.push(value)}`;
  const conditions: string[] = [];
  const where = (column: string, comparison: string, value: unknown) => {
    if (value !== undefined) conditions.push(`${column} ${comparison} ${parameter(value)}`);
  };
  where('user_id', '=', selection.userId);
  where('action', '=', selection.action);
  where('resource_type', '=', selection.resourceType);
  where('resource_id', '=', selection.resourceId);
  where('success', '=', selection.success);
  where('created_at', '>=', selection.from);
  where('created_at', '<', selection.to);
  if (after !== undefined) {
    const time = `${parameter(after.createdAt)}::timestamptz`;
    conditions.push(`created_at <= ${time}`, `(created_at, id) < (${time}, ${parameter(after.id)}::uuid)`);
  }
  const text = `
    SELECT id, created_at AS "createdAt", user_id AS "userId", api_key_id AS "apiKeyId", action,
      resource_type AS "resourceType", resource_id AS "resourceId", details, ip_address AS "ipAddress",
      user_agent AS "userAgent", request_id AS "requestId", success, found,
      to_char(created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS position
    FROM (
      SELECT *, count(*) OVER () AS found, sum(octet_length(details::text)) OVER (
        ORDER BY created_at DESC, id DESC ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
      ) AS bytes_before
      FROM (
        SELECT * FROM audit_logs
        ${conditions.length === 0 ? '' : `WHERE ${conditions.join(' AND ')}`}
        ORDER BY created_at DESC, id DESC
        LIMIT ${parameter(maxRows)}
      ) AS newest
    ) AS measured
    WHERE coalesce(bytes_before, 0) < ${parameter(PAGE_BYTES)}
    ORDER BY created_at DESC, id DESC`;
  return { text, values };
}
