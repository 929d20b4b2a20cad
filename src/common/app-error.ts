import { ERROR_CATALOGUE, type ErrorCode } from './error-catalogue.js';

/** One broken rule of one input field; `field` is a path such as `scopes[3]`. */
export interface FieldError {
  readonly field: string;
  readonly message: string;
}

/** What an error may carry beside its code and its sentence. */
export interface AppErrorExtras {
  /** Every broken rule at once, for `validation.failed`. */
  readonly errors?: readonly FieldError[];
  /** Whole seconds, sent as `Retry-After`. */
  readonly retryAfterSeconds?: number;
  /** Further response headers, e.g. `Allow`. */
  readonly headers?: Readonly<Record<string, string>>;
  /** Extension members of the problem document (RFC 9457 §3.2). */
  readonly members?: Readonly<Record<string, unknown>>;
  readonly cause?: unknown;
}

/** An expected failure, named by its row in the error catalogue. The only error a service throws on purpose. */
export class AppError extends Error {
  readonly errors: readonly FieldError[] | undefined;
  readonly retryAfterSeconds: number | undefined;
  readonly headers: Readonly<Record<string, string>>;
  readonly members: Readonly<Record<string, unknown>>;

  constructor(
    readonly code: ErrorCode,
    detail: string = ERROR_CATALOGUE[code].title,
    extras: AppErrorExtras = {},
  ) {
    super(detail, { cause: extras.cause });
    this.name = 'AppError';
    this.errors = extras.errors;
    this.retryAfterSeconds = extras.retryAfterSeconds;
    this.headers = extras.headers ?? {};
    this.members = extras.members ?? {};
  }

  get status(): number {
    return ERROR_CATALOGUE[this.code].status;
  }
}

/** The most broken rules in one response; `errors_truncated` says that there are more. */
export const MOST_ERRORS = 50;
const LONGEST_FIELD = 200;

/** 422 with one line per broken rule, the first of them when there are many. */
export function validationFailed(errors: readonly FieldError[]): AppError {
  return new AppError('validation.failed', 'The request breaks the rules listed in errors.', {
    errors: errors.slice(0, MOST_ERRORS).map(shown),
    ...(errors.length > MOST_ERRORS ? { members: { errors_truncated: true } } : {}),
  });
}

/** A broken rule as returned. The name of an unknown field comes from the caller and may be of any length, so it is cut. */
export function shown({ field, message }: FieldError): FieldError {
  const isShort = field.length <= LONGEST_FIELD;
  return { field: isShort ? field : `${field.slice(0, LONGEST_FIELD).toWellFormed()}…`, message };
}
