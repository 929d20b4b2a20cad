import { parseTimestamp } from '../http/input-checks.js';

/**
 * The ways through the log. `newest_first` and `unnumbered` go by time; the latter is what was written before rows were
 * numbered, and comes before what is `committed`, which goes by number: in the order in which rows became visible.
 */
export type AuditLogWalk = 'newest_first' | 'unnumbered' | 'committed';

/** Where a row stands on its way. */
export interface AuditLogPosition {
  readonly walk: AuditLogWalk;
  /** A number; on the ways by time ISO 8601 in UTC with microseconds: PostgreSQL keeps more digits of a time than a Date does. */
  readonly place: string;
  readonly id: string;
}

const TIMESTAMP = /^(?!0000)\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$/;
const NUMBER = /^\d{1,18}$/;
const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

/** Before the first row of a way that goes up. */
export const COMMITTED_FROM_THE_START: AuditLogPosition = {
  walk: 'committed',
  place: '0',
  id: '00000000-0000-0000-0000-000000000000',
};

/** The position as an opaque text for a URL. */
export function encodeCursor({ walk, place, id }: AuditLogPosition): string {
  const text = walk === 'newest_first' ? `${place}/${id}` : `${walk}/${place}/${id}`;
  return Buffer.from(text).toString('base64url');
}

/** The position a cursor stands for; undefined when we did not make it. */
export function decodeCursor(cursor: string): AuditLogPosition | undefined {
  const parts = Buffer.from(cursor, 'base64url').toString('utf8').split('/');
  const [walk, place = '', id = '', ...rest] = parts.length === 2 ? ['newest_first', ...parts] : parts;
  if (!isWalk(walk) || !UUID.test(id) || rest.length > 0) return undefined;
  const isPlace =
    walk === 'committed'
      ? NUMBER.test(place)
      : TIMESTAMP.test(place) && parseTimestamp(place) instanceof Date;
  return isPlace ? { walk, place, id } : undefined;
}

function isWalk(walk: string | undefined): walk is AuditLogWalk {
  return walk === 'newest_first' || walk === 'unnumbered' || walk === 'committed';
}
