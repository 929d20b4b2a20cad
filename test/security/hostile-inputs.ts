import type { DescribedOperation, DescribedValue } from './described-operations.js';

type Accepted = Readonly<Record<string, unknown>>;
type Described = NonNullable<DescribedOperation['body']>;
/** JSON of at most so many bytes. */
type MakeJson = (bytes: number) => string;

/** So long that a body of its limit holds no more values than are read. */
const PADDING = 'x'.repeat(70);

/** JSON of at most so many bytes: `make` gives its parts, one by one, between `before` and `after`. */
function filled(bytes: number, before: string, make: (index: number) => string, after: string): string {
  let json = before;
  for (let index = 0; ; index += 1) {
    const part = make(index);
    if (json.length + part.length + 1 + after.length > bytes) return json + after;
    json += index === 0 ? part : `,${part}`;
  }
}

/** The beginning of a body that the operation accepts, without one of its properties. */
function accepted(body: Accepted, without?: string): string {
  const members = Object.entries(body).filter(([name]) => name !== without);
  return members.map(([name, value]) => `${JSON.stringify(name)}:${JSON.stringify(value)},`).join('');
}

function inList(
  bytes: number,
  body: Accepted,
  described: Described,
  item: (index: number) => string,
): string {
  const [list] = Object.entries(described).find(([, { type }]) => type === 'array') ?? [];
  if (list === undefined) return filled(bytes, '[', item, ']');
  return filled(bytes, `{${accepted(body, list)}"${list}":[`, item, ']}');
}

/** In place of a value that is converted: a timestamp where there is one, else whatever is no text. */
function inConverted(bytes: number, body: Accepted, described: Described, make: MakeJson): string {
  const rank = ({ type, format }: DescribedValue) => (format === 'date-time' ? 0 : type === 'string' ? 2 : 1);
  const [name = 'name'] = Object.entries(described).toSorted(([, a], [, b]) => rank(a) - rank(b))[0] ?? [];
  const before = `{${accepted(body, name)}"${name}":`;
  return `${before}${make(bytes - before.length - 1)}}`;
}

/** In the texts of so many items. */
function inItems(
  bytes: number,
  body: Accepted,
  described: Described,
  item: Described | undefined,
  count: number,
): string {
  const texts = Object.entries(item ?? {}).filter(([, { type }]) => type === 'string');
  const [name = 'text', ...others] = texts.map(([text]) => text);
  const length = Math.floor(bytes / count) - 100 - 10 * others.length;
  const short = others.map((other) => `,"${other}":"x"`).join('');
  return inList(bytes, body, described, () => `{"${name}":"${'x'.repeat(length)}"${short}}`);
}

function inText(bytes: number, body: Accepted, described: Described, part: string): string {
  const isText = ({ type }: { type?: string | readonly string[] }) => [type].flat().includes('string');
  const [name = 'name'] = Object.entries(described).find(([, value]) => isText(value)) ?? [];
  const before = `{${accepted(body, name)}"${name}":"`;
  return `${before}${part.repeat(Math.floor((bytes - before.length - 2) / part.length))}"}`;
}

/** Bodies of so many bytes that are large in one way each. */
export const HOSTILE_BODIES: Readonly<
  Record<string, (bytes: number, body: Accepted, described: Described, item?: Described) => string>
> = {
  'unknown properties': (bytes, body) =>
    filled(bytes, `{${accepted(body)}`, (index) => `"p${index.toString(36)}":1`, '}'),
  'unknown properties with long names': (bytes, body) =>
    filled(bytes, `{${accepted(body)}`, (index) => `"${PADDING}${index}":1`, '}'),
  'list items': (bytes, body, described) => inList(bytes, body, described, () => '1'),
  'long list items': (bytes, body, described) =>
    inList(bytes, body, described, (index) => `"${PADDING}${index}"`),
  'objects in a list': (bytes, body, described) =>
    inList(bytes, body, described, (index) => `{"${PADDING}${index}":"${PADDING}"}`),
  'nested objects': (bytes) =>
    `${'{"a":'.repeat(Math.floor(bytes / 7))}1${'}'.repeat(Math.floor(bytes / 7))}`,
  'nested lists': (bytes) => '['.repeat(Math.floor(bytes / 2)) + ']'.repeat(Math.floor(bytes / 2)),
  'many nested objects': (bytes, body, described) =>
    inList(bytes, body, described, () => `${'{"a":'.repeat(12)}"${'x'.repeat(600)}"${'}'.repeat(12)}`),
  'a list for a converted value': (bytes, body, described) =>
    inConverted(bytes, body, described, (most) => filled(most, '[', (index) => `"${PADDING}${index}"`, ']')),
  'an object for a converted value': (bytes, body, described) =>
    inConverted(bytes, body, described, (most) =>
      filled(most, '{', (index) => `"${PADDING}${index}":1`, '}'),
    ),
  'a long string for a converted value': (bytes, body, described) =>
    inConverted(bytes, body, described, (most) => `"${'1'.repeat(most - 2)}"`),
  'a long string in an item': (bytes, body, described, item) => inItems(bytes, body, described, item, 1),
  'long strings in items': (bytes, body, described, item) => inItems(bytes, body, described, item, 90),
  'a long string': (bytes, body, described) => inText(bytes, body, described, 'x'),
  'a long string of escapes': (bytes, body, described) => inText(bytes, body, described, String.raw`\u0000`),
  'a long string that almost is a secret': (bytes, body, described) => inText(bytes, body, described, 'eyJ'),
  'a name that almost is a secret': (bytes) => `{"${'eyJaaaaaa'.repeat(Math.floor((bytes - 8) / 9))}":1}`,
};

/** Forms of so many bytes. */
export const HOSTILE_FORMS: Readonly<Record<string, (bytes: number) => string>> = {
  'form fields': (bytes) => 'a&'.repeat(Math.floor(bytes / 2)),
  'a long form field': (bytes) => `token=${'%41'.repeat(Math.floor((bytes - 8) / 3))}`,
};

const LONGEST_QUERY = 15_000;
const LONGEST_READ_QUERY = 7_900;

/** Queries that are large in one way each; `known` are the parameters of the operation. */
export const HOSTILE_QUERIES: Readonly<Record<string, (known: readonly string[]) => string>> = {
  'unknown parameters': () =>
    Array.from({ length: 3_000 }, (_, index) => index)
      .join('&')
      .slice(0, LONGEST_QUERY),
  'a parameter that is repeated': ([name = 'page']) => repeated(`${name}=1`, LONGEST_QUERY),
  'as many long parameters as are read': ([name = 'page']) =>
    repeated(`${name}=${'%20'.repeat(17)}`, LONGEST_READ_QUERY),
  'a long parameter': (known) => `${known.at(-1) ?? 'page'}=${'%F0%9F%94%91'.repeat(650)}`,
};

function repeated(parameter: string, length: number): string {
  return Array.from({ length: Math.floor(length / (parameter.length + 1)) }, () => parameter).join('&');
}
