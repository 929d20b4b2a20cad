import { parseTimestamp } from '../http/input-checks.js';

/** Where a row stands in the order of the log. */
export interface AuditLogPosition {
  /** ISO 8601 in UTC with microseconds: PostgreSQL keeps more digits of a time than a Date does. */
  readonly createdAt: string;
  readonly id: string;
}

const TIMESTAMP = /^(?!0000)\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$/;
const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

/** The position as an opaque text for a URL. */
export function encodeCursor({ createdAt, id }: AuditLogPosition): string {
  return Buffer.from(`${createdAt}/${id}`).toString('base64url');
}

/** The position a cursor stands for; undefined when we did not make it. */
export function decodeCursor(cursor: string): AuditLogPosition | undefined {
  const [createdAt = '', id = '', ...rest] = Buffer.from(cursor, 'base64url').toString('utf8').split('/');
  const isPosition = TIMESTAMP.test(createdAt) && parseTimestamp(createdAt) instanceof Date && UUID.test(id);
  return isPosition && rest.length === 0 ? { createdAt, id } : undefined;
}
