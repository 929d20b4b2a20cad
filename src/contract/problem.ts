import { HttpException } from '@nestjs/common';
import { AppError } from '../common/app-error.js';
import { isDependencyFailure } from '../common/dependency-failure.js';
import { ERROR_CATALOGUE, type ErrorCode } from '../common/error-catalogue.js';

/** The media type of error bodies (RFC 9457). */
export const PROBLEM_MEDIA_TYPE = 'application/problem+json';

const CODE_BY_STATUS: Readonly<Record<number, ErrorCode>> = {
  400: 'request.malformed',
  // How the pages of the API document answer paths that lead out of their folder.
  403: 'request.route_not_found',
  404: 'request.route_not_found',
  405: 'request.method_not_allowed',
  406: 'request.not_acceptable',
  413: 'request.body_too_large',
  414: 'request.uri_too_long',
  415: 'request.media_type_unsupported',
  503: 'service.unavailable',
};

const DETAIL_BY_CODE: Partial<Record<ErrorCode, string>> = {
  'request.malformed':
    'The request could not be read: its body is not valid JSON, or its address or headers are broken.',
  'request.route_not_found': 'There is no such route.',
  'request.body_too_large': 'The request body is larger than this route accepts.',
  'request.media_type_unsupported': 'The request body must be application/json.',
  'service.unavailable': 'A dependency of this service could not answer; try again shortly.',
  'internal.error': 'Something went wrong on our side. The request id names this failure in our logs.',
};

/** Whatever was thrown, as an error of the catalogue. The text of unknown errors never reaches a caller. */
export function toAppError(error: unknown): AppError {
  if (error instanceof AppError) return error;
  if (isDependencyFailure(error)) return catalogued('service.unavailable', error, 1);
  const status = httpStatus(error);
  const code = (status === undefined ? undefined : CODE_BY_STATUS[status]) ?? 'internal.error';
  return catalogued(
    status !== undefined && status < 500 && code === 'internal.error' ? 'request.malformed' : code,
    error,
  );
}

/** The problem document of an error (RFC 9457 §3.1), with our `code` and `request_id`. */
export function problemDocument(error: AppError, path: string, requestId: string): Record<string, unknown> {
  return {
    type: `/errors/${error.code}`,
    title: ERROR_CATALOGUE[error.code].title,
    status: error.status,
    detail: error.message,
    instance: uriReference(path),
    code: error.code,
    request_id: requestId,
    ...error.members,
    ...(error.errors === undefined ? {} : { errors: error.errors }),
  };
}

/** `%` that begins no escape, and all that a path may not hold (RFC 3986 §3.3). */
const NOT_IN_PATH = /%(?![0-9A-Fa-f]{2})|[^\w.~!$&'()*+,;=:@/%-]/g;

/** Paths of routes are shorter; of a longer path the beginning is enough to recognize it. */
const LONGEST_INSTANCE = 1_024;

/** A path as `instance` may hold it: a request line may hold more. */
function uriReference(path: string): string {
  return path.slice(0, LONGEST_INSTANCE).replace(NOT_IN_PATH, (character) => encodeURIComponent(character));
}

/** An address without its query, where people put secrets. */
export function pathOf(url: string): string {
  const end = url.indexOf('?');
  return end === -1 ? url : url.slice(0, end);
}

function catalogued(code: ErrorCode, cause: unknown, retryAfterSeconds?: number): AppError {
  return new AppError(code, DETAIL_BY_CODE[code], {
    cause,
    ...(retryAfterSeconds === undefined ? {} : { retryAfterSeconds }),
  });
}

function httpStatus(error: unknown): number | undefined {
  if (error instanceof HttpException) return error.getStatus();
  const status = error instanceof Error && 'statusCode' in error ? error.statusCode : undefined;
  return typeof status === 'number' ? status : undefined;
}
