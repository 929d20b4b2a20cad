/** A text with its escapes decoded, and where each of its characters (UTF-16 units) stood. */
export interface Unescaped {
  readonly text: string;
  /** The place in the source of the character that is now at this place. */
  startOf(index: number): number;
  /** The place in the source after that character. */
  endOf(index: number): number;
}

const PERCENT = 0x25;
const BACKSLASH = 0x5c;
const SLASH = 0x2f;
const ESCAPE = /%[0-9A-Fa-f]{2}|[\\/%]u[0-9A-Fa-f]{4}|\\x[0-9A-Fa-f]{2}/;

/** True when a text has something to decode. */
export function hasEscapes(text: string): boolean {
  return ESCAPE.test(text);
}

/**
 * Decodes `%6E`, `\u006E`, `\x6E` and `\\` (and `/u006E`, which URL libraries make of an escape, and `%u006E`, which old
 * ones write), also when they are nested: an escape that a decoded character completes is decoded again.
 * Each decoding shortens the text, so the time is linear.
 * Bytes above 127 become the characters of Latin-1: no secret has any.
 */
export function unescaped(source: string): Unescaped {
  const codes = new Uint16Array(source.length);
  const starts = new Uint32Array(source.length);
  const ends = new Uint32Array(source.length);
  let length = 0;

  /** The character that the last `taken` characters escape; undefined when they are no escape. */
  const escapeOf = (taken: number, digits: number, mark: number, letter?: number): number | undefined => {
    const start = length - taken;
    if (start < 0 || codes[start] !== mark) return undefined;
    if (letter !== undefined && codes[start + 1] !== letter) return undefined;
    let value = 0;
    for (let index = length - digits; index < length; index += 1) {
      const digit = hexDigit(codes[index] ?? 0);
      if (digit === -1) return undefined;
      value = value * 16 + digit;
    }
    return value;
  };
  const reduce = (taken: number, code: number): void => {
    const start = length - taken;
    codes[start] = code;
    ends[start] = ends[length - 1] ?? 0;
    length = start + 1;
  };
  const reduceOnce = (): boolean => {
    const last = codes[length - 1] ?? 0;
    if (last === BACKSLASH) {
      if (length < 2 || codes[length - 2] !== BACKSLASH) return false;
      reduce(2, BACKSLASH);
      return true;
    }
    if (hexDigit(last) === -1) return false;
    for (const { taken, digits, mark, letter } of FORMS) {
      const code = escapeOf(taken, digits, mark, letter);
      if (code === undefined) continue;
      reduce(taken, code);
      return true;
    }
    return false;
  };

  for (let index = 0; index < source.length; index += 1) {
    codes[length] = source.charCodeAt(index);
    starts[length] = index;
    ends[length] = index + 1;
    length += 1;
    while (reduceOnce());
  }
  return {
    text: Buffer.from(codes.buffer, 0, length * 2).toString('utf16le'),
    startOf: (index) => starts[index] ?? source.length,
    endOf: (index) => ends[index] ?? source.length,
  };
}

/** The escapes that end in hexadecimal digits. */
const FORMS: readonly { taken: number; digits: number; mark: number; letter?: number }[] = [
  { taken: 3, digits: 2, mark: PERCENT },
  { taken: 4, digits: 2, mark: BACKSLASH, letter: 'x'.charCodeAt(0) },
  { taken: 6, digits: 4, mark: BACKSLASH, letter: 'u'.charCodeAt(0) },
  { taken: 6, digits: 4, mark: SLASH, letter: 'u'.charCodeAt(0) },
  { taken: 6, digits: 4, mark: PERCENT, letter: 'u'.charCodeAt(0) },
];

function hexDigit(code: number): number {
  if (code >= 48 && code <= 57) return code - 48;
  const letter = code | 32;
  return letter >= 97 && letter <= 102 ? letter - 87 : -1;
}
