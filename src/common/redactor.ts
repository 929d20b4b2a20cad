import { base64Heads, secretShapes, SHORTEST_SECRET } from './secret-shapes.js';
import { hasEscapes, unescaped } from './unescaped.js';

const MASK = '[redacted]';
/** Base64 that is long enough for the shortest secret, with any characters that adjoin it without a separator. */
const BASE64_RUN = /[\w+/-]{32,}/g;

/** A part of a text, from its first character to the one after its last. */
interface Span {
  readonly start: number;
  readonly end: number;
}

/**
 * Finds and masks text that is shaped like one of our secrets, also where a caller put it in the wrong place: in clear, in
 * hexadecimal, in base64 or base64url, and behind any number of percent and JSON escapes. The time is linear in the
 * length of the text. There is one for the whole process.
 */
export class Redactor {
  readonly #shapes: RegExp;
  readonly #base64Heads: RegExp;

  /** `apiKeyPrefixes` are made of letters, digits and `_` only. */
  constructor(apiKeyPrefixes: readonly string[]) {
    this.#shapes = secretShapes(apiKeyPrefixes);
    this.#base64Heads = base64Heads(apiKeyPrefixes);
  }

  /** True when a part of the text is shaped like a secret, in any of the forms above. */
  holdsSecret(text: string): boolean {
    return this.#secretsIn(text).length > 0;
  }

  /** The text with every secret-shaped part replaced. */
  maskText(text: string): string {
    const secrets = this.#secretsIn(text);
    if (secrets.length === 0) return text;
    let masked = '';
    let done = 0;
    for (const { start, end } of secrets) {
      masked += text.slice(done, start) + MASK;
      done = end;
    }
    return masked + text.slice(done);
  }

  /** A copy of a JSON value with every string in it masked, names of properties included. */
  maskJson(value: unknown): unknown {
    if (typeof value === 'string') return this.maskText(value);
    if (Array.isArray(value)) return value.map((item) => this.maskJson(item));
    if (value instanceof Date || typeof value !== 'object' || value === null) return value;
    return Object.fromEntries(
      Object.entries(value).map(([name, item]) => [this.maskText(name), this.maskJson(item)]),
    );
  }

  /** In order, none overlapping another. */
  #secretsIn(text: string): readonly Span[] {
    if (text.length < SHORTEST_SECRET) return NONE;
    const found: Span[] = [];
    this.#addWithoutEscapes(text, found);
    if (hasEscapes(text)) {
      const decoded = unescaped(text);
      const inDecoded: Span[] = [];
      this.#addWithoutEscapes(decoded.text, inDecoded);
      for (const { start, end } of inDecoded)
        found.push({ start: decoded.startOf(start), end: decoded.endOf(end - 1) });
    }
    return found.length < 2 ? found : united(found);
  }

  #addWithoutEscapes(text: string, found: Span[]): void {
    this.#addInClear(text, found);
    if (!this.#base64Heads.test(text)) return;
    for (const { 0: run, index } of text.matchAll(BASE64_RUN))
      if (this.#base64Heads.test(run)) found.push(...this.#inBase64(run, index));
  }

  /** Without `matchAll`, which copies the pattern each time: this is asked of each text of each usage event. */
  #addInClear(text: string, found: Span[]): void {
    const shapes = this.#shapes;
    shapes.lastIndex = 0;
    for (let match = shapes.exec(text); match !== null; match = shapes.exec(text))
      found.push({ start: match.index, end: shapes.lastIndex });
  }

  /** Decoded from each of its first four characters on: text before the base64 may look like a part of it. */
  #inBase64(run: string, place: number): Span[] {
    const found: Span[] = [];
    for (let skipped = 0; skipped < 4; skipped += 1) {
      const decoded = Buffer.from(run.slice(skipped), 'base64').toString('latin1');
      const inDecoded: Span[] = [];
      this.#addInClear(decoded, inDecoded);
      for (const { start, end } of inDecoded) {
        const first = skipped + Math.floor(start / 3) * 4;
        const last = Math.min(run.length, skipped + Math.ceil(end / 3) * 4);
        found.push({ start: place + first, end: place + last });
      }
    }
    return found;
  }
}

const NONE: readonly Span[] = [];

function united(spans: readonly Span[]): Span[] {
  const joined: Span[] = [];
  for (const span of spans.toSorted((a, b) => a.start - b.start)) {
    const last = joined.at(-1);
    if (last === undefined || span.start >= last.end) joined.push(span);
    else joined[joined.length - 1] = { start: last.start, end: Math.max(last.end, span.end) };
  }
  return joined;
}
