/** A header of a response, as the API document describes it. */
export interface DocumentedHeader {
  readonly description: string;
  readonly schema: Readonly<Record<string, unknown>>;
}

const RETRY_AFTER: DocumentedHeader = {
  description: 'Whole seconds to wait before the request is sent again. Absent where waiting does not help.',
  schema: { type: 'integer', minimum: 0, maximum: 2_147_483_647, example: 1 },
};

const WWW_AUTHENTICATE: DocumentedHeader = {
  description: 'The scheme of credentials (RFC 9110 §11.6.1).',
  schema: { type: 'string', example: 'Bearer' },
};

const ETAG: DocumentedHeader = {
  description: 'The version, for `If-Match`.',
  schema: { type: 'string', example: '"3"' },
};

/** The headers of a response that shows something with a version. */
export const VERSION_HEADERS = { ETag: ETAG } as const;

export const CONTENT_DISPOSITION: DocumentedHeader = {
  description: 'The name of the file.',
  schema: { type: 'string', example: 'attachment; filename="usage-summary.csv"' },
};

/** The limits that are set and what is left of them (draft-ietf-httpapi-ratelimit-headers-11). */
export const RATE_LIMIT_HEADERS: Readonly<Record<string, DocumentedHeader>> = {
  RateLimit: {
    description:
      'What is left of each window and in how many seconds it is whole again. Absent without limits.',
    schema: { type: 'string', example: '"minute";r=59;t=60' },
  },
  'RateLimit-Policy': {
    description: 'The quota of each window and its length in seconds. Absent without limits.',
    schema: { type: 'string', example: '"minute";q=60;w=60' },
  },
};

/** Every response has this header. */
const REQUEST_ID: DocumentedHeader = {
  description:
    'Names this request in logs and in the audit log: the `X-Request-Id` of the request, or a new one.',
  schema: { type: 'string', example: '0d9f7a2e-8a51-4f0c-9c52-0c6a4a1d7f3b' },
};

/** Headers that a response has by its status alone. */
export function headersOf(status: number): Readonly<Record<string, DocumentedHeader>> {
  return {
    'X-Request-Id': REQUEST_ID,
    ...(status === 401 ? { 'WWW-Authenticate': WWW_AUTHENTICATE } : {}),
    ...([402, 409, 429, 503].includes(status) ? { 'Retry-After': RETRY_AFTER } : {}),
  };
}
