/** The prefix by which refresh tokens are recognized. */
export const REFRESH_TOKEN_PREFIX = 'rt_';

/** The prefix by which the tokens of invitations are recognized. */
export const INVITATION_TOKEN_PREFIX = 'inv_';

/** Tokens of 256 random bits in base64url. */
const TOKEN_PREFIXES = [REFRESH_TOKEN_PREFIX, INVITATION_TOKEN_PREFIX];
/** What every JSON Web Token begins with: `{"` in base64url. */
const TOKEN_HEAD = 'eyJ';
/** Characters after a prefix from which on a text is taken for a secret that was cut. */
const FEWEST_CHARACTERS = 24;
/** A shorter text holds no secret in any form: a whole JSON Web Token has at least this many characters. */
export const SHORTEST_SECRET = 24;

/**
 * A run of token characters is read once, as a whole: the lookahead never backtracks. Tried from every
 * `eyJ` in it instead, 64 kB of them would take seconds.
 */
const JSON_WEB_TOKEN = String.raw`(?<![\w-])(?=(?<head>[\w-]*${TOKEN_HEAD}[\w-]{5,}))\k<head>\.[\w-]+\.[\w-]*`;

/** Bytes of characters in hexadecimal: 0-9, A-Z, a-z; and those with `_`, `-` and `.` beside them. */
const LETTER_BYTE = '(?:3[0-9]|[46][1-9a-f]|[57][0-9a])';
const TOKEN_BYTE = '(?:3[0-9]|[46][1-9a-f]|[57][0-9a]|5f|2d|2e)';

/** The shapes of our secrets, in clear and as hexadecimal bytes. `apiKeyPrefixes` hold letters, digits and `_` only. */
export function secretShapes(apiKeyPrefixes: readonly string[]): RegExp {
  const shapes = [
    `(?:${apiKeyPrefixes.join('|')})[0-9A-Za-z]{${FEWEST_CHARACTERS},}`,
    JSON_WEB_TOKEN,
    String.raw`(?:${TOKEN_PREFIXES.join('|')})[\w-]{${FEWEST_CHARACTERS},}`,
    `(?:${apiKeyPrefixes.map(hexOf).join('|')})${LETTER_BYTE}{${FEWEST_CHARACTERS},}`,
    `(?:${[...TOKEN_PREFIXES, TOKEN_HEAD].map(hexOf).join('|')})${TOKEN_BYTE}{${FEWEST_CHARACTERS},}`,
  ];
  return new RegExp(shapes.join('|'), 'gi');
}

/**
 * What base64 or base64url makes of the beginning of each of our secrets, wherever in a quantum of three bytes it
 * begins. A text without any of these holds no secret in base64; one with them may.
 */
export function base64Heads(apiKeyPrefixes: readonly string[]): RegExp {
  const heads = [...apiKeyPrefixes, TOKEN_HEAD, ...TOKEN_PREFIXES];
  return new RegExp(heads.flatMap((head) => [0, 1, 2].map((offset) => base64Of(head, offset))).join('|'));
}

const BASE64 = Array.from('ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789').concat(
  '+-',
  '/_',
);

/** The base64 of a text behind `offset` unknown bytes, as a pattern: each character is one that its known bits allow. */
function base64Of(text: string, offset: number): string {
  const bits = '?'.repeat(offset * 8) + Array.from(Buffer.from(text, 'latin1'), bitsOf(8)).join('');
  let pattern = '';
  for (let index = 0; index * 6 < bits.length; index += 1) {
    const known = bits.slice(index * 6, index * 6 + 6).padEnd(6, '?');
    if (known !== '??????')
      pattern += `[${BASE64.filter((_, value) => fits(bitsOf(6)(value), known)).join('')}]`;
  }
  return pattern;
}

function bitsOf(width: number): (value: number) => string {
  return (value) => value.toString(2).padStart(width, '0');
}

function fits(bits: string, known: string): boolean {
  return Array.from(known).every((bit, index) => bit === '?' || bit === bits[index]);
}

function hexOf(text: string): string {
  return Buffer.from(text, 'latin1').toString('hex');
}
