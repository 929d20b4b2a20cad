/*
 * `from` and `to` of usage statistics, asked for and answered. They are options for fields and not a base class:
 * the fields of a base class would come first in the API document.
 */

/** `from` of a query; `defaultSpan` is how long before `to` it is when it was not sent. */
export function fromQuery(defaultSpan: string) {
  return {
    optional: true,
    description: `The first moment; ${defaultSpan} before \`to\` by default.`,
    example: '2026-11-01T00:00:00Z',
  } as const;
}

/** `to` of a query. */
export const TO_QUERY = {
  optional: true,
  description: 'The moment after the last. Default: now.',
  example: '2026-12-01T00:00:00Z',
} as const;

/** `from` of an answer. */
export const FROM = {
  type: 'string',
  format: 'date-time',
  description: 'The first moment: a full hour.',
} as const;

/** `to` of an answer. */
export const TO = {
  type: 'string',
  format: 'date-time',
  description: 'The moment after the last: a full hour.',
} as const;
