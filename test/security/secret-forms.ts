/** What a text becomes on its way through programs that nobody asked to keep it out of sight. */
export const SECRET_FORMS = {
  'in clear': (secret) => secret,
  'with one character percent-encoded': (secret) => percent(secret.slice(0, 1)) + secret.slice(1),
  'percent-encoded': percent,
  'percent-encoded twice': (secret) => percent(percent(secret)),
  'in base64': (secret) => Buffer.from(secret).toString('base64'),
  'in base64 behind a name': (secret) => Buffer.from(`u:${secret}`).toString('base64'),
  'in base64 behind a longer name': (secret) => Buffer.from(`me:${secret}`).toString('base64'),
  'in base64url': (secret) => Buffer.from(secret).toString('base64url'),
  'in base64url, percent-encoded': (secret) => percent(Buffer.from(secret).toString('base64url')),
  'with one character as a JSON escape': (secret) => jsonEscaped(secret.slice(0, 1)) + secret.slice(1),
  'as JSON escapes': jsonEscaped,
  'as JSON escapes in an address': (secret) =>
    jsonEscaped(secret.slice(0, 2)).replaceAll('\\', '/') + secret.slice(2),
  'as JSON escapes within a JSON text': (secret) => JSON.stringify(jsonEscaped(secret)).slice(1, -1),
  'in hexadecimal': (secret) => Buffer.from(secret).toString('hex'),
} as const satisfies Record<string, (secret: string) => string>;

export type SecretForm = keyof typeof SECRET_FORMS;

export const FORM_NAMES = Object.keys(SECRET_FORMS) as SecretForm[];

function percent(text: string): string {
  return Array.from(text, (character) => `%${hex(character, 2)}`).join('');
}

/** `\u0065` for each character. */
function jsonEscaped(text: string): string {
  return Array.from(text, (character) => String.raw`\u${hex(character, 4)}`).join('');
}

/** True when the secret can be read in a text, in any of the forms and in any case. */
export function reveals(text: string, secret: string): boolean {
  const plain = plainest(text);
  return tracesOf(secret).some((trace) => plain.includes(trace));
}

/** A text as it is after every escape in it was undone, in one case: the forms that are escapes become the plain one. */
export function plainest(text: string): string {
  let [before, after] = ['', text.replaceAll(/\\+/g, '\\')];
  while (before !== after) {
    before = after;
    after = before.replaceAll(/(?:%|[\\/]u00|\\x)([\da-f]{2})/gi, (_, code: string) =>
      String.fromCharCode(Number.parseInt(code, 16)),
    );
  }
  return after.toLowerCase();
}

/** What remains recognizable of a secret, whatever stands before it: its later part, in each way of writing bytes. */
export function tracesOf(secret: string): string[] {
  const body = secret.replace(/^(en|rt)_/, '');
  const inBase64 = ['', '.', '..'].map((before) =>
    Buffer.from(before + body)
      .toString('base64url')
      .slice(4, -4),
  );
  const everyAlphabet = inBase64.flatMap((text) => [text, text.replaceAll('-', '+').replaceAll('_', '/')]);
  return [body, Buffer.from(body).toString('hex'), ...everyAlphabet].map((text) => text.toLowerCase());
}

function hex(character: string, digits: number): string {
  return character.charCodeAt(0).toString(16).padStart(digits, '0');
}
