import { component } from './components.js';

/*
 * Schemas of single values that appear in many places of the wire format.
 */

/** An id that the service gives: a whole number beyond 32 bits. */
export const ID = { type: 'integer', format: 'int64' } as const;

/** A number of things; it may be larger than 32 bits hold. */
export const COUNT = { type: 'integer', format: 'int64' } as const;

/** A count that may be larger than a JSON number can hold exactly. */
export const TOTAL = { ...COUNT, description: '2^53 − 1 for more.' } as const;

/** The same count without a limit. */
export const DECIMAL_COUNT = { type: 'string', description: 'The exact number.', example: '1024' } as const;

/** Whole cents of a total. */
export const ROUNDED_CENTS = { ...COUNT, description: 'Rounded half up; 2^53 − 1 for more.' } as const;

/** The same amount to the micro-cent. */
export const DECIMAL_CENTS = {
  type: 'string',
  description: 'The exact amount in cents.',
  example: '0.004250',
} as const;

/** A moment as every answer shows it. */
export const TIMESTAMP = { type: 'string', format: 'date-time' } as const;

/** A moment, or null. */
export const NULLABLE_TIMESTAMP = { type: ['string', 'null'], format: 'date-time' } as const;

/** A list of texts. */
export const TEXTS = { type: 'array', items: { type: 'string' } } as const;

const CENTS_DESCRIPTION =
  'An amount in cents from 0 to 1000000000000 with up to six decimals. A string keeps all digits; a number may have at most 15.';

/** An amount of money in a request. */
export const CENTS = component(
  'Cents',
  { type: ['number', 'string'], description: CENTS_DESCRIPTION, examples: ['0.004250'] },
  {
    description: CENTS_DESCRIPTION,
    oneOf: [
      { type: 'number', minimum: 0, maximum: 1_000_000_000_000 },
      { type: 'string', pattern: String.raw`^\d{1,13}(\.\d{1,6})?$`, maxLength: 20 },
    ],
    examples: ['0.004250'],
  },
);

/** One broken rule, as `validation.failed` and refused usage events name it. */
export const FIELD_ERROR_SCHEMA = component('FieldError', {
  type: 'object',
  description: 'One broken rule of one input field.',
  required: ['field', 'message'],
  properties: {
    field: {
      type: 'string',
      description: 'The path of the field, such as `scopes[3]`.',
      examples: ['rate_limit_per_minute'],
    },
    message: {
      type: 'string',
      description: 'The rule, as the end of a sentence that begins with the field.',
      examples: ['must be a whole number from 1 to 10000'],
    },
  },
});

/**
 * A text of an answer that has one of these values. The list is open: later versions may add values, so the document
 * lists them without restricting the text to them, and clients must accept others.
 */
export function openEnum<const Values extends readonly string[]>(values: Values, description: string) {
  return {
    type: 'string',
    description: `${description} One of ${values.map((value) => `\`${value}\``).join(', ')}; later versions may add values.`,
    'x-extensible-enum': [...values],
    examples: [values.at(-1) ?? ''],
  } as const;
}

/** A schema whose value may be null too. */
export function nullable<Type extends string, const Schema extends { readonly type: Type }>(schema: Schema) {
  return { ...schema, type: [schema.type, 'null'] as const };
}
