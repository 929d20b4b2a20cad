const MASK = '[redacted]';
/**
 * A run of token characters is read once, as a whole: the lookahead never gives back what it took. Tried from every
 * `eyJ` in it instead, 64 kB of them would take seconds.
 */
const JSON_WEB_TOKEN = String.raw`(?<![\w-])(?=(?<head>[\w-]*eyJ[\w-]{5,}))\k<head>\.[\w-]+\.[\w-]*`;
const REFRESH_TOKEN = String.raw`rt_[\w-]{24,}`;

/** The prefix of refresh tokens, by which the redactor knows them. */
export const REFRESH_TOKEN_PREFIX = 'rt_';

/** Masks whatever is shaped like one of our secrets, also where a caller put it in the wrong place. */
export class Redactor {
  readonly #pattern: RegExp;

  /** `apiKeyPrefixes` are made of letters, digits and `_` only, so they stand in a pattern as they are. */
  constructor(apiKeyPrefixes: readonly string[]) {
    const apiKey = `(?:${apiKeyPrefixes.join('|')})[0-9A-Za-z]{24,}`;
    this.#pattern = new RegExp(`${apiKey}|${JSON_WEB_TOKEN}|${REFRESH_TOKEN}`, 'gi');
  }

  /** The text with every secret-shaped part replaced. */
  maskText(text: string): string {
    return text.replace(this.#pattern, MASK);
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
}
