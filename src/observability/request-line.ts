/** The members of a request's log line that the text for people shows. */
interface RequestFields {
  readonly msg?: unknown;
  readonly time?: string;
  readonly level?: string;
  readonly method?: string;
  readonly path?: string;
  readonly status?: number;
  readonly code?: string;
  readonly duration_ms?: number;
  readonly user_id?: number;
  readonly api_key_id?: number;
  readonly client_address?: string;
  readonly request_id?: string;
}

/**
 * The log line of a request as text for people: time, status, request, caller. Undefined for a line that is of no
 * request.
 */
export function requestLine(json: string): string | undefined {
  if (!json.includes('"msg":"request"')) return undefined;
  const fields = JSON.parse(json) as RequestFields;
  if (fields.msg !== 'request') return undefined;
  const { time = '', level = '', method, path, status, code, duration_ms: duration } = fields;
  const parts = [
    `[${time.slice(11, 23)}]`,
    level.toUpperCase(),
    status,
    method,
    path,
    code,
    duration === undefined ? undefined : `${duration} ms`,
    named('user', fields.user_id),
    named('key', fields.api_key_id),
    named('from', fields.client_address),
    named('request', fields.request_id),
  ];
  return `${parts.filter((part) => part !== undefined).join(' ')}\n`;
}

function named(name: string, value: string | number | undefined): string | undefined {
  return value === undefined ? undefined : `${name}=${value}`;
}
