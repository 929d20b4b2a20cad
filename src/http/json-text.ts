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
