/*
 * What differs from one run of the story to the next is shown as these, so that the document changes only when an answer does.
 */
const SECRET = 'en_0123456789ABCDEFGHIJKLMNOPQRSTUV206ZPL';
const REPLACEMENTS: readonly (readonly [RegExp, string])[] = [
  [/\ben_[A-Za-z0-9]{38}\b/g, SECRET],
  [/\brt_[\w-]{20,}/g, 'rt_the-refresh-token-of-this-session'],
  [/\binv_[\w-]{20,}/g, 'inv_the-token-of-this-invitation'],
  [/\beyJ[\w-]+\.[\w-]+\.[\w-]+/g, 'eyJhbGciOiJIUzI1NiIsInR5cCI6ImF0K2p3dCJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl'],
  [/\b[\da-f]{8}(-[\da-f]{4}){3}-[\da-f]{12}\b/g, '0199a6c4-6f3b-7c1e-9d52-4b8c1f0e2a37'],
  [/\b20[2-8]\d-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z/g, '2026-01-31T12:00:00.000Z'],
  [/\b20[2-8]\d-\d\d-\d\d\b(?!T)/g, '2026-01-31'],
];
/** Of fields whose values say nothing by their form. */
const BY_NAME: Readonly<Record<string, unknown>> = {
  key_prefix: SECRET.slice(0, 8),
  iat: 1_769_860_800,
  exp: 1_896_091_200,
  next_cursor: 'eyJpZCI6MX0',
};
const ID_OF_SECRET = /^[\da-f]{16}$/;

/** A value of a request or an answer as the document shows it. */
export function shown(value: unknown, name = ''): unknown {
  if (Array.isArray(value)) return value.map((entry) => shown(entry));
  if (typeof value === 'object' && value !== null) {
    const members = Object.entries(value).map(([key, member]) => [key, shown(member, key)]);
    // Each connection of the service takes the ids of usage events by the hundred.
    return Object.fromEntries('received_at' in value ? [...members, ['id', 2]] : members);
  }
  if (value !== null && name in BY_NAME) return BY_NAME[name];
  if (typeof value !== 'string') return value;
  if (ID_OF_SECRET.test(value)) return '9f86d081884c7d65';
  return REPLACEMENTS.reduce((text, [pattern, replacement]) => text.replace(pattern, replacement), value);
}
