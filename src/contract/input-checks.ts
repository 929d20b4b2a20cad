import { type FieldError, MOST_ERRORS } from '../common/app-error.js';

/** Lists and objects within each other; more can only be an attack. */
export const DEEPEST_NESTING = 16;
/** Names that every object inherits. */
const RESERVED_NAMES = new Set([...Object.getOwnPropertyNames(Object.prototype), 'prototype']);

/** Why a value is refused, as the end of a sentence that begins with the field's name; undefined when it is fine. */
export type Check = (value: unknown) => string | undefined;

/** Length in Unicode code points, which is how PostgreSQL counts characters too. */
function characterCount(text: string): number {
  let count = 0;
  for (const _character of text) count += 1;
  return count;
}

export function textCheck(
  minimum: number,
  maximum: number,
  pattern?: { regex: RegExp; rule: string },
): Check {
  return (value) => {
    if (typeof value !== 'string') return 'must be a string';
    const length = value.length > maximum * 2 ? value.length : characterCount(value);
    if (length < minimum || length > maximum) return `must be ${minimum} to ${maximum} characters long`;
    return pattern === undefined || pattern.regex.test(value) ? undefined : `must be ${pattern.rule}`;
  };
}

export function integerCheck(minimum: number, maximum: number): Check {
  return (value) => {
    const isInRange =
      Number.isSafeInteger(value) && (value as number) >= minimum && (value as number) <= maximum;
    return isInRange ? undefined : `must be a whole number from ${minimum} to ${maximum}`;
  };
}

export function booleanCheck(value: unknown): string | undefined {
  return typeof value === 'boolean' ? undefined : 'must be true or false';
}

export function choiceCheck(choices: readonly string[]): Check {
  return (value) => (choices.includes(value as string) ? undefined : `must be one of ${choices.join(', ')}`);
}

export function timestampCheck(value: unknown): string | undefined {
  return value instanceof Date
    ? undefined
    : 'must be an ISO 8601 timestamp with a time zone, such as 2030-01-31T12:00:00Z';
}

/** A list of distinct texts; the first entry that breaks `entryCheck` is named by its index. */
export function textListCheck(maxEntries: number, entryCheck: Check): Check {
  return (value) => {
    if (!Array.isArray(value)) return 'must be a list of strings';
    if (value.length > maxEntries) return `must have at most ${maxEntries} entries`;
    for (const [index, entry] of value.entries()) {
      const problem = entryCheck(entry);
      if (problem !== undefined) return `entry ${index} ${problem}`;
    }
    return new Set(value).size === value.length ? undefined : 'must not repeat an entry';
  };
}

const TIMESTAMP =
  /^(\d{4})-(\d\d)-(\d\d)[Tt ]([01]\d|2[0-3]):[0-5]\d:[0-5]\d(\.\d{1,9})?([Zz]|[+-]([01]\d|2[0-3]):?[0-5]\d)$/;

/** The moment a strict ISO 8601 text names, or the value as it came when it names none (30 February included). */
export function parseTimestamp(value: unknown): unknown {
  if (typeof value !== 'string') return value;
  const match = TIMESTAMP.exec(value);
  if (match === null) return value;
  const [year, month, day] = [Number(match[1]), Number(match[2]), Number(match[3])];
  if (month < 1 || month > 12 || day < 1 || (day > 28 && day > lastDayOf(year, month))) return value;
  const moment = new Date(value.replace(' ', 'T').toUpperCase());
  // A zone may carry it into a year that has more or fewer than four digits.
  const movedYear = moment.getUTCFullYear();
  return movedYear >= 1 && movedYear <= 9999 ? moment : value;
}

function lastDayOf(year: number, month: number): number {
  return new Date(Date.UTC(year, month, 0)).getUTCDate();
}

/**
 * What no input may hold, whatever its schema: text that PostgreSQL cannot store (NUL, lone surrogates),
 * names that reach into a prototype, and nesting so deep that it can only be an attack. `name` is that of the input.
 */
export function unsafeInput(input: unknown, name = ''): FieldError[] {
  const errors: FieldError[] = [];
  // A field is one level below the input that it belongs to.
  const depth = name === '' ? 0 : 1;
  const pending: { value: unknown; path: string; depth: number }[] = [{ value: input, path: name, depth }];
  for (let next = pending.pop(); next !== undefined && errors.length <= MOST_ERRORS; next = pending.pop()) {
    const { value, path } = next;
    if (typeof value === 'string' && !isStorable(value)) {
      errors.push({ field: path, message: 'must not hold NUL characters or lone surrogates' });
    } else if (typeof value === 'object' && value !== null) {
      if (next.depth >= DEEPEST_NESTING) return [{ field: path, message: 'is nested too deeply' }];
      for (const [key, item] of Object.entries(value)) {
        const field = Array.isArray(value) ? `${path}[${key}]` : path === '' ? key : `${path}.${key}`;
        if (RESERVED_NAMES.has(key) || !isStorable(key))
          errors.push({ field, message: 'is not a known property' });
        else pending.push({ value: item, path: field, depth: next.depth + 1 });
      }
    }
  }
  return errors;
}

function isStorable(text: string): boolean {
  return text.isWellFormed() && !text.includes('\0');
}
