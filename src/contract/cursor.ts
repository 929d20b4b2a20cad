import { createHash } from 'node:crypto';
import { validationFailed } from '../common/app-error.js';

/** The last entry of a page, after which the next one begins. */
export interface ListPosition {
  readonly id: number;
  /** By what the list is sorted, as decimal text; null where it is sorted by the id alone. */
  readonly value: string | null;
  /** What the first page counted: pages by cursor do not count again. */
  readonly total: number;
  readonly isTotalExact: boolean;
}

/** Seconds of a time that can be stored, to the year 9999. */
const DECIMAL = /^(-?\d{1,12}(\.\d{1,6})?|-?Infinity)$/;

/**
 * The position as an opaque text for a URL. `list` is whatever makes the list what it is: its name, filter and order. A
 * cursor of one list is refused by any other.
 */
export function encodeCursor(list: unknown, { id, value, total, isTotalExact }: ListPosition): string {
  const content = [digestOf(list), id, value, total, isTotalExact];
  return Buffer.from(JSON.stringify(content)).toString('base64url');
}

/** The position that a cursor of this list stands for. @throws AppError `validation.failed` */
export function decodeCursor(list: unknown, cursor: string): ListPosition {
  const position = parse(digestOf(list), cursor);
  if (position !== undefined) return position;
  throw validationFailed([
    { field: 'cursor', message: 'must be the next_cursor of an answer of the same list' },
  ]);
}

function parse(digest: string, cursor: string): ListPosition | undefined {
  let content: unknown;
  try {
    content = JSON.parse(Buffer.from(cursor, 'base64url').toString('utf8'));
  } catch {
    return undefined;
  }
  if (!Array.isArray(content) || content.length !== 5) return undefined;
  const [ofList, id, value, total, isTotalExact] = content as unknown[];
  const isValue = value === null || (typeof value === 'string' && DECIMAL.test(value));
  if (ofList !== digest || !isCount(id) || !isValue || !isCount(total)) return undefined;
  return { id, value, total, isTotalExact: isTotalExact === true };
}

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

function digestOf(list: unknown): string {
  return createHash('sha256').update(JSON.stringify(list)).digest('base64url').slice(0, 11);
}
