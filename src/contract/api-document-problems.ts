import type { OpenAPIObject } from '@nestjs/swagger';
import { MOST_ERRORS } from '../common/app-error.js';
import { ERROR_CATALOGUE } from '../common/error-catalogue.js';
import { PROBLEM_MEDIA_TYPE } from './problem.js';

interface DocumentedOperation {
  responses: Record<string, unknown>;
  parameters?: unknown[];
  requestBody?: unknown;
  security?: unknown[];
  'x-access-rule'?: { kind: string };
  'x-bounded-per-caller'?: boolean;
  operationId?: string;
}

const PROBLEM_SCHEMA = {
  type: 'object',
  description: 'A problem document (RFC 9457).',
  required: ['type', 'title', 'status', 'detail', 'instance', 'code', 'request_id'],
  properties: {
    type: {
      type: 'string',
      format: 'uri-reference',
      description: 'The address of the page that explains this error.',
      examples: ['/errors/api_key.not_found'],
    },
    title: { type: 'string', description: 'What kind of error this is.' },
    status: { type: 'integer', description: 'The HTTP status.' },
    detail: { type: 'string', description: 'What went wrong this time, for a person.' },
    instance: { type: 'string', format: 'uri-reference', description: 'The path of the request.' },
    code: {
      type: 'string',
      enum: Object.keys(ERROR_CATALOGUE),
      description: 'Stable name of the error, for a program.',
    },
    request_id: { type: 'string', description: 'Names this request in logs and in the audit log.' },
  },
};

const VALIDATION_PROBLEM_SCHEMA = {
  allOf: [{ $ref: '#/components/schemas/Problem' }],
  type: 'object',
  description: 'A problem document that lists every broken rule.',
  properties: {
    errors: {
      type: 'array',
      items: {
        type: 'object',
        required: ['field', 'message'],
        properties: {
          field: { type: 'string', examples: ['rate_limit_per_minute'] },
          message: { type: 'string', examples: ['must be a whole number from 1 to 10000'] },
        },
      },
      maxItems: MOST_ERRORS,
    },
    errors_truncated: {
      type: 'boolean',
      description: '`true` when more rules are broken than are listed; absent otherwise.',
    },
  },
};

const STATUS_MEANING: Readonly<Record<number, string>> = {
  400: 'The request could not be read, or carries two credentials.',
  402: 'The budget of the API key has no room.',
  401: 'The credential is missing or not valid.',
  403: 'The caller may not do this.',
  404: 'There is no such thing.',
  406: 'None of the accepted media types can be answered.',
  409: 'The request conflicts with the state of things.',
  412: 'The thing has changed since the version in If-Match.',
  413: 'The request body is too large.',
  414: 'The address has more than 8192 characters or 128 query parameters, or a part of its path more than 256 characters.',
  415: 'The request body has an unsupported media type.',
  422: 'The request breaks the rules listed in `errors`.',
  429: 'Too many failures, or too many requests at once; wait for `Retry-After` seconds.',
  500: 'Something went wrong in the service.',
  503: 'A dependency is away; try again.',
};

/** Statuses beyond those that follow from a route's shape, by operation. */
const SPECIAL_STATUSES: Readonly<Record<string, readonly number[]>> = {
  login: [401, 429],
  refresh_session: [401],
  logout: [403],
  set_user_password: [429],
  create_user: [409],
  update_user: [409],
  delete_user: [409],
  create_api_key: [409],
  regenerate_api_key: [409],
  delete_api_key_secret: [409],
  activate_api_key: [409],
  update_api_key: [412],
  get_error_page: [404, 406],
  get_api_key_usage_series: [406],
  get_usage_summary: [406],
  list_audit_logs: [406],
  list_error_pages: [406],
  create_budget_hold: [402, 404],
  settle_budget_hold: [409],
  release_budget_hold: [409],
  extend_budget_hold: [409],
  forward_auth: [400, 401, 402, 403, 429],
};

/** Adds the problem responses that follow from what a route is: its credential, its body, its parameters. */
export function addProblemResponses(document: OpenAPIObject): OpenAPIObject {
  const schemas = {
    ...document.components?.schemas,
    Problem: PROBLEM_SCHEMA,
    ValidationProblem: VALIDATION_PROBLEM_SCHEMA,
  };
  document.components = {
    ...document.components,
    schemas,
  };
  for (const item of Object.values(document.paths)) {
    for (const operation of Object.values(item) as DocumentedOperation[]) {
      for (const status of problemStatuses(operation)) operation.responses[status] = problemResponse(status);
      describeCredentials(operation);
    }
  }
  return document;
}

function problemStatuses(operation: DocumentedOperation): number[] {
  const rule = operation['x-access-rule']?.kind;
  const hasPathId = (operation.parameters ?? []).some(
    (parameter) => (parameter as { in?: string }).in === 'path',
  );
  return [
    ...(operation.requestBody === undefined ? [] : [400, 413, 415, 422]),
    ...((operation.parameters ?? []).length > 0 ? [414, 422] : []),
    ...(rule === undefined ? [] : [400, 401]),
    ...(rule === undefined || rule === 'authenticated' ? [] : [403]),
    ...(rule !== undefined && hasPathId ? [404] : []),
    ...(operation['x-bounded-per-caller'] === true ? [429] : []),
    ...(SPECIAL_STATUSES[operation.operationId ?? ''] ?? []),
    500,
    503,
  ];
}

function problemResponse(status: number): unknown {
  const schema = status === 422 ? 'ValidationProblem' : 'Problem';
  return {
    description: STATUS_MEANING[status],
    content: { [PROBLEM_MEDIA_TYPE]: { schema: { $ref: `#/components/schemas/${schema}` } } },
  };
}

/** Either credential will do; a route without a rule needs none. */
function describeCredentials(operation: DocumentedOperation): void {
  operation.security = operation['x-access-rule'] === undefined ? [] : [{ accessToken: [] }, { apiKey: [] }];
}
