/** Stands where something did not fit. */
const CUT = '[cut]';

/** What each value weighs beside its text, so that many tiny ones are bounded too. */
const VALUE_WEIGHT = 8;

/** Text that PostgreSQL can store: NUL and lone surrogates become U+FFFD; cut to `maxLength` UTF-16 units. */
export function storableText(text: string, maxLength: number): string {
  return text.slice(0, maxLength).toWellFormed().replaceAll('\0', '\uFFFD');
}

/**
 * A copy of a JSON value that PostgreSQL can store, every text in it made storable. Where its whole weight passes
 * `maxLength` UTF-16 units, the rest is left out and `[cut]` says so.
 */
export function storableJson(value: unknown, maxLength: number): unknown {
  let left = maxLength;

  const textOf = (text: string): string => {
    const stored = storableText(text, Math.max(left, 0));
    left -= text.length;
    return left < 0 ? stored + CUT : stored;
  };
  const copyOf = (item: unknown): unknown => {
    left -= VALUE_WEIGHT;
    if (typeof item === 'string') return textOf(item);
    if (Array.isArray(item)) return entriesOf(item);
    if (typeof item === 'object' && item !== null) return Object.fromEntries(membersOf(item));
    return item;
  };
  const entriesOf = (items: readonly unknown[]): unknown[] => {
    const copies: unknown[] = [];
    for (const item of items) {
      if (left <= 0) return [...copies, CUT];
      copies.push(copyOf(item));
    }
    return copies;
  };
  const membersOf = (object: object): [string, unknown][] => {
    const copies: [string, unknown][] = [];
    for (const [name, item] of Object.entries(object)) {
      if (left <= 0) return [...copies, [CUT, true]];
      copies.push([textOf(name), copyOf(item)]);
    }
    return copies;
  };

  return copyOf(value);
}
