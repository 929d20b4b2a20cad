import { DEEPEST_NESTING } from './input-checks.js';

/** Values whose text had `\u` escapes: JSON can hold a NUL or a lone surrogate in no other way. */
const escaped = new WeakSet<object>();

/** What a JSON text says. @throws SyntaxError */
export function parseJson(text: string): unknown {
  const value: unknown = JSON.parse(text);
  if (typeof value === 'object' && value !== null && text.includes(String.raw`\u`)) escaped.add(value);
  return value;
}

/** False when no text in a parsed body can be one that PostgreSQL does not store; known without looking into it. */
export function mayHoldUnstorableText(body: unknown): boolean {
  return typeof body === 'object' && body !== null && escaped.has(body);
}

/** A text this short is cheap, whatever it holds. */
const CERTAINLY_SMALL = 1_024;
/** A body may hold one value per this many bytes that its route accepts: 1,310 in 64 kB, 20,971 in 1 MB. */
const BYTES_PER_VALUE = 50;

const QUOTE = 34;
const BACKSLASH = 92;

/**
 * How a JSON text goes beyond what any operation needs, as the end of a sentence that begins with `body`; undefined
 * when it does not. It is checked before the text is parsed, since the result can be many times as large in memory.
 */
export function excessOf(text: string, bodyLimit: number): string | undefined {
  if (text.length <= CERTAINLY_SMALL) return undefined;
  const mostValues = Math.floor(bodyLimit / BYTES_PER_VALUE);
  let values = 1;
  let depth = 0;
  for (let at = 0; at < text.length; at += 1) {
    switch (text.charCodeAt(at)) {
      case QUOTE:
        at = endOfString(text, at);
        break;
      case 44 /* , */:
        values += 1;
        break;
      case 91 /* [ */:
      case 123 /* { */:
        values += 1;
        depth += 1;
        if (depth > DEEPEST_NESTING) return 'is nested too deeply';
        break;
      case 93 /* ] */:
      case 125 /* } */:
        depth -= 1;
        break;
    }
    if (values > mostValues) return `must hold at most ${mostValues} values`;
  }
  return undefined;
}

/** Where the string that begins at `start` ends; the end of the text when it does not. */
function endOfString(text: string, start: number): number {
  for (let end = text.indexOf('"', start + 1); end !== -1; end = text.indexOf('"', end + 1)) {
    let firstBackslash = end;
    while (firstBackslash > start + 1 && text.charCodeAt(firstBackslash - 1) === BACKSLASH)
      firstBackslash -= 1;
    if ((end - firstBackslash) % 2 === 0) return end;
  }
  return text.length;
}
