import { MOST_ERRORS } from '../common/app-error.js';
import { ERROR_CATALOGUE } from '../common/error-catalogue.js';
import { component, type JsonSchema } from './components.js';
import { FIELD_ERROR_SCHEMA } from './wire-schemas.js';

const ERROR_CODE = component('ErrorCode', {
  type: 'string',
  description:
    'Stable name of an error, for programs. Each has a page at `/errors/{code}`. Later versions may add codes: of one that a client does not know, the status decides.',
  'x-extensible-enum': Object.keys(ERROR_CATALOGUE),
  examples: ['api_key.not_found'],
});

const MEMBERS = {
  type: {
    type: 'string',
    format: 'uri-reference',
    description: 'The address of the page that explains this error.',
    examples: ['/errors/api_key.not_found'],
  },
  title: { type: 'string', description: 'What kind of error this is.', examples: ['API key not found'] },
  status: { type: 'integer', maximum: 599, description: 'The HTTP status.', examples: [404] },
  detail: { type: 'string', description: 'What went wrong this time, for a person.' },
  instance: { type: 'string', format: 'uri-reference', description: 'The path of the request.' },
  code: ERROR_CODE,
  request_id: { type: 'string', description: 'Names this request in logs and in the audit log.' },
} as const;

/** A problem document (RFC 9457). */
export const PROBLEM_SCHEMA = component('Problem', {
  type: 'object',
  description: 'A problem document (RFC 9457).',
  required: Object.keys(MEMBERS),
  properties: MEMBERS,
});

/** The problem document of `validation.failed` and of all other errors with status 422. */
export const VALIDATION_PROBLEM_SCHEMA = problemWith('ValidationProblem', {
  description: 'A problem document that lists the broken rules.',
  required: ['errors'],
  properties: {
    errors: {
      type: 'array',
      items: FIELD_ERROR_SCHEMA,
      maxItems: MOST_ERRORS,
      description: 'Every broken rule, in the order of the fields.',
    },
    errors_truncated: {
      type: 'boolean',
      description: '`true` when more rules are broken than are listed; absent otherwise.',
    },
  },
});

/** A problem document with further members (RFC 9457 §3.2), written out: generators merge `allOf` in different ways. */
export function problemWith(
  name: string,
  further: {
    readonly description: string;
    readonly required: readonly string[];
    readonly properties: Readonly<Record<string, JsonSchema>>;
  },
): JsonSchema {
  return component(name, {
    type: 'object',
    description: further.description,
    required: [...Object.keys(MEMBERS), ...further.required],
    properties: { ...MEMBERS, ...further.properties },
  });
}
