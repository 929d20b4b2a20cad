import { isUuid } from '../common/uuid.js';
import { parseTimestamp } from '../contract/input-checks.js';

/**
 * The orders of the log. `newest_first` and `unnumbered` go by time; the latter holds rows from before rows were
 * numbered, and comes before `committed`, which goes by number: the order in which rows became visible.
 */
export type AuditLogWalk = 'newest_first' | 'unnumbered' | 'committed';

/** The position of a row in its order. */
export interface AuditLogPosition {
  readonly walk: AuditLogWalk;
  /** A number, or in orders by time ISO 8601 in UTC with microseconds, of which a Date would lose digits. */
  readonly place: string;
  readonly id: string;
}

const TIMESTAMP = /^(?!0000)\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$/;
const NUMBER = /^\d{1,18}$/;
/** Before the first row of an ascending order. */
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
  if (!isWalk(walk) || !isUuid(id) || rest.length > 0) return undefined;
  const isPlace =
    walk === 'committed'
      ? NUMBER.test(place)
      : TIMESTAMP.test(place) && parseTimestamp(place) instanceof Date;
  return isPlace ? { walk, place, id } : undefined;
}

function isWalk(walk: string | undefined): walk is AuditLogWalk {
  return walk === 'newest_first' || walk === 'unnumbered' || walk === 'committed';
}
