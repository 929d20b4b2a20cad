/** Bytes that the details of a row take as JSON, in UTF-8, at most. Pages and exports rely on it. */
export const MOST_DETAILS_BYTES = 16 * 1024;

/** Beyond this many nested members, details are cut by their top members only. */
const MOST_PARTS = 100;
/** NUL and lone surrogates as `JSON.stringify` writes them; also what only looks like them, which does no harm here. */
const MAY_BE_UNSTORABLE = /\\u0000|\\ud[89a-f]/;

/** Details of an audit row: members by name. */
type Details = Readonly<Record<string, unknown>>;

/** A member of the details, or a member of such a member, with its size as JSON. */
interface Part {
  readonly path: readonly string[];
  readonly value: unknown;
  readonly bytes: number;
}

/** Text that PostgreSQL can store: NUL and lone surrogates become U+FFFD; cut to `maxLength` UTF-16 units. */
export function storableText(text: string, maxLength: number): string {
  return text.slice(0, maxLength).toWellFormed().replaceAll('\0', '\uFFFD');
}

/**
 * Details that PostgreSQL can store, within `maxBytes` as JSON. What does not fit is cut, the largest parts first, and
 * named in a member `truncated`: `["after_values.scopes"]`. Lists and objects lose their last entries, texts their ends.
 */
export function storableDetails(details: Details, maxBytes = MOST_DETAILS_BYTES): Details {
  const text = JSON.stringify(details);
  const storable = MAY_BE_UNSTORABLE.test(text) ? (storableJson(details) as Details) : details;
  if (text.length * 3 <= maxBytes || jsonBytes(storable) <= maxBytes) return storable;
  const parts = partsOf(storable);
  // The names of members need space too, and, at worst, the names of everything that is cut.
  const names = jsonBytes(parts.map(({ path }) => path.join('.'))) + '"truncated":,'.length;
  const around = jsonBytes(storable) - parts.reduce((sum, { bytes }) => sum + bytes, 0);
  const share = fairShare(
    parts.map(({ bytes }) => bytes),
    maxBytes - around - names,
  );
  if (share < SHORTEST_SHARE) return { truncated: ['*'] };
  const isCut = ({ bytes }: Part) => bytes > share;
  const members: Record<string, unknown> = {};
  for (const part of parts) place(members, part.path, isCut(part) ? cut(part.value, share) : part.value);
  return { ...members, truncated: parts.filter(isCut).map(({ path }) => path.join('.')) };
}

/** What a part is cut to at the least: `null` stands for a number or a boolean. */
const SHORTEST_SHARE = 4;

/** The members, those that are objects by their own members, so that a change names its fields. */
function partsOf(details: Details): Part[] {
  const members = Object.entries(details).map(([name, value]) => ({ path: [name], value }));
  const fields = members.flatMap(({ path, value }) =>
    isObject(value) && Object.keys(value).length > 0
      ? Object.entries(value).map(([name, field]) => ({ path: [...path, name], value: field }))
      : [{ path, value }],
  );
  const parts = fields.length <= MOST_PARTS ? fields : members;
  return parts.map((part) => ({ ...part, bytes: jsonBytes(part.value) }));
}

/** The most bytes that each part may have when all together may have `budget`: small parts leave theirs to the others. */
function fairShare(sizes: readonly number[], budget: number): number {
  let left = budget;
  const ascending = sizes.toSorted((a, b) => a - b);
  for (const [index, size] of ascending.entries()) {
    const share = Math.floor(left / (ascending.length - index));
    if (size > share) return share;
    left -= size;
  }
  return budget;
}

function place(
  members: Record<string, unknown>,
  [name = '', field]: readonly string[],
  value: unknown,
): void {
  if (field === undefined) define(members, name, value);
  else {
    if (!Object.hasOwn(members, name)) define(members, name, {});
    define(members[name] as Record<string, unknown>, field, value);
  }
}

/** A plain assignment would take `__proto__` for the prototype. */
function define(members: Record<string, unknown>, name: string, value: unknown): void {
  Object.defineProperty(members, name, { value, enumerable: true, writable: true, configurable: true });
}

/** The beginning of a value, within `maxBytes` as JSON where the value can be shortened. */
function cut(value: unknown, maxBytes: number): unknown {
  if (typeof value === 'string') return cutText(value, maxBytes);
  if (Array.isArray(value)) return fitting(value, maxBytes, (entry) => jsonBytes(entry));
  if (isObject(value)) {
    const entries = Object.entries(value);
    return Object.fromEntries(
      fitting(entries, maxBytes, ([name, member]) => jsonBytes(name) + 1 + jsonBytes(member)),
    );
  }
  return null;
}

function fitting<Item>(items: readonly Item[], maxBytes: number, bytesOf: (item: Item) => number): Item[] {
  let left = maxBytes - '[]'.length;
  const end = items.findIndex((item) => (left -= bytesOf(item) + 1) < -1);
  return end === -1 ? [...items] : items.slice(0, end);
}

function cutText(text: string, maxBytes: number): string {
  let left = maxBytes - '""'.length;
  let end = 0;
  for (const character of text) {
    left -= jsonBytes(character) - '""'.length;
    if (left < 0) break;
    end += character.length;
  }
  return text.slice(0, end);
}

/** A copy of a JSON value in which every text and name can be stored. */
function storableJson(value: unknown): unknown {
  if (typeof value === 'string') return storableText(value, value.length);
  if (Array.isArray(value)) return value.map(storableJson);
  if (!isObject(value)) return value;
  return Object.fromEntries(
    Object.entries(value).map(([name, item]) => [storableText(name, name.length), storableJson(item)]),
  );
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function jsonBytes(value: unknown): number {
  return Buffer.byteLength(JSON.stringify(value) ?? '');
}
