import type { AuditLogPosition, AuditLogWalk } from './audit-cursor.js';
import type { AuditLog } from './audit-log.entity.js';

/** Which rows; absent members select all. `from` is inclusive, `to` is not. */
export interface AuditLogSelection {
  readonly userId?: number | undefined;
  readonly action?: string | undefined;
  readonly resourceType?: string | undefined;
  readonly resourceId?: string | undefined;
  readonly success?: boolean | undefined;
  /** Rows of one of these organizations. */
  readonly organizationIds?: readonly number[] | undefined;
  readonly from?: Date | undefined;
  readonly to?: Date | undefined;
}

/** A statement with its parameters. */
export interface Statement {
  readonly text: string;
  readonly values: unknown[];
}

/** A row as `pageStatement` returns it. */
export interface AuditLogPageRow extends AuditLog {
  /** Its position in the order. */
  readonly place: string;
  /** How many rows the page could have had. */
  readonly found: number;
  /** Bytes of its details as JSON. */
  readonly bytes: number;
}

/** How much of the log a statement may return; a single row may be larger. */
export interface PageLimit {
  readonly maxRows: number;
  readonly maxBytes: number;
}

/** Rows that one statement reads when no index covers all its conditions. */
const SCANNED_ROWS = 20_000;

const TIME = `to_char(created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')`;

interface Walk {
  readonly column: string;
  readonly type: string;
  readonly direction: 'ASC' | 'DESC';
  /** The column as text, without loss of precision. */
  readonly place: string;
  readonly condition?: string;
}

/**
 * The number of a row grows with the id of its transaction. No more rows can come from transactions older than all that
 * are running, so a reader of only these, in their order, misses no row that commits late.
 */
const WALKS: Readonly<Record<AuditLogWalk, Walk>> = {
  newest_first: { column: 'created_at', type: 'timestamptz', direction: 'DESC', place: TIME },
  unnumbered: {
    column: 'created_at',
    type: 'timestamptz',
    direction: 'ASC',
    place: TIME,
    condition: 'position IS NULL AND created_at <= (SELECT unnumbered_until FROM audit_log_numbering)',
  },
  committed: {
    column: 'position',
    type: 'bigint',
    direction: 'ASC',
    place: 'position::text',
    condition: `position < (SELECT base + pg_snapshot_xmin(pg_current_snapshot())::text::bigint FROM audit_log_numbering)`,
  },
};

/**
 * An upper bound of the size of a row's details in bytes, without reading them. Compressed ones could be a hundred times
 * as large, but no row ever had more than 2 MB.
 */
const WEIGHT = `CASE WHEN pg_column_compression(details) IS NULL THEN pg_column_size(details)
            ELSE least(pg_column_size(details) * 100::bigint, 2000000) END`;

/** The next rows of a selection in an order, at most `maxRows`, and fewer where their details could be larger than `maxBytes`. */
export function pageStatement(
  selection: AuditLogSelection,
  walk: AuditLogWalk,
  after: AuditLogPosition | undefined,
  { maxRows, maxBytes }: PageLimit,
): Statement {
  const { text: scanned, values, rest } = scan(selection, walk, after);
  const parameter = (value: unknown) => `$${values.push(value)}`;
  const others = rest.map((condition) => condition(parameter));
  const { column, direction, place } = WALKS[walk];
  const text = `
    SELECT id, created_at AS "createdAt", user_id AS "userId", api_key_id AS "apiKeyId", action,
      resource_type AS "resourceType", resource_id AS "resourceId", details, ip_address AS "ipAddress",
      user_agent AS "userAgent", request_id AS "requestId", success, organization_id AS "organizationId", found, ${place} AS place,
      octet_length(details::text) AS bytes
    FROM (
      SELECT *, count(*) OVER () AS found, sum(${WEIGHT}) OVER (
        ORDER BY ${column} ${direction}, id ${direction} ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
      ) AS weight_before
      FROM (
        SELECT * FROM (${scanned}) AS scanned
        ${others.length === 0 ? '' : `WHERE ${others.join(' AND ')}`}
        ORDER BY ${column} ${direction}, id ${direction}
        LIMIT ${parameter(maxRows)}
      ) AS chosen
    ) AS weighed
    WHERE coalesce(weight_before, 0) < ${parameter(maxBytes)}
    ORDER BY ${column} ${direction}, id ${direction}`;
  return { text, values };
}

/** The position after the rows that `pageStatement` read, when it did not read all. */
export function scanEndStatement(
  selection: AuditLogSelection,
  walk: AuditLogWalk,
  after: AuditLogPosition | undefined,
): Statement | undefined {
  const { text: scanned, values, rest } = scan(selection, walk, after);
  if (rest.length === 0) return undefined;
  const { column, direction, place } = WALKS[walk];
  const text = `
    SELECT ${place} AS place, id FROM (${scanned}) AS scanned
    ORDER BY ${column} ${direction}, id ${direction} OFFSET ${SCANNED_ROWS - 1} LIMIT 1`;
  return { text, values };
}

/** Writes a condition; the values that it compares with become parameters. */
type Condition = (parameter: (value: unknown) => string) => string;

/** Rows in order that one index finds, and the remaining conditions to filter them by. */
interface Scan extends Statement {
  readonly rest: readonly Condition[];
}

/**
 * When conditions remain, the number of rows read is limited, so the cost is bounded however few match. The bounds in time
 * are conditions of their own, beside the comparison of the position: only then do they exclude partitions.
 */
function scan(selection: AuditLogSelection, walk: AuditLogWalk, after: AuditLogPosition | undefined): Scan {
  const values: unknown[] = [];
  const parameter = (value: unknown) => `$${values.push(value)}`;
  const { column, type, direction, condition } = WALKS[walk];
  const conditions = condition === undefined ? [] : [condition];
  if (selection.from !== undefined) conditions.push(`created_at >= ${parameter(selection.from)}`);
  if (selection.to !== undefined) conditions.push(`created_at < ${parameter(selection.to)}`);
  if (after !== undefined) {
    const place = `${parameter(after.place)}::${type}`;
    const comparison = direction === 'DESC' ? '<' : '>';
    conditions.push(`${column} ${comparison}= ${place}`);
    conditions.push(`(${column}, id) ${comparison} (${place}, ${parameter(after.id)}::uuid)`);
  }
  const wanted = conditionsOf(selection);
  // By number there is one index, with no other column.
  const indexed = walk === 'committed' ? [] : wanted.slice(0, isResource(selection) ? 2 : 1);
  const rest = wanted.slice(indexed.length);
  const all = [...conditions, ...indexed.map((write) => write(parameter))];
  const text = `
          SELECT * FROM audit_logs
          ${all.length === 0 ? '' : `WHERE ${all.join(' AND ')}`}
          ORDER BY ${column} ${direction}, id ${direction}
          ${rest.length === 0 ? '' : `LIMIT ${SCANNED_ROWS}`}`;
  return { text, values, rest };
}

/** The conditions on what a row says, those first whose index finds the fewest rows; of a resource, two share an index. */
function conditionsOf(selection: AuditLogSelection): Condition[] {
  const { resourceId, resourceType, userId, action, success, organizationIds } = selection;
  const conditions: Condition[] = [];
  const equals = (column: string, value: unknown) => {
    if (value !== undefined) conditions.push((parameter) => `${column} = ${parameter(value)}`);
  };
  equals('resource_id', resourceId);
  if (resourceId !== undefined) equals('resource_type', resourceType);
  equals('user_id', userId);
  if (organizationIds?.length === 1) equals('organization_id', organizationIds[0]);
  else if (organizationIds !== undefined)
    conditions.push((parameter) => `organization_id = ANY (${parameter(organizationIds)})`);
  equals('action', action);
  if (success !== undefined) conditions.push(() => (success ? 'success' : 'NOT success'));
  if (resourceId === undefined) equals('resource_type', resourceType);
  return conditions;
}

function isResource({ resourceId, resourceType }: AuditLogSelection): boolean {
  return resourceId !== undefined && resourceType !== undefined;
}
