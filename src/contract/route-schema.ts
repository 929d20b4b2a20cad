import { applyDecorators } from '@nestjs/common';
import { RouteSchema } from '@nestjs/platform-fastify';
import { ApiBody, ApiResponse } from '@nestjs/swagger';
import type { FastifyRequest } from 'fastify';
import { type FieldError, MOST_ERRORS, validationFailed } from '../common/app-error.js';
import { unsafeInput } from './input-checks.js';
import { mayHoldUnstorableText } from './json-text.js';

/** JSON Schemas of a route's body and of its answer. */
export interface JsonRoute {
  readonly body: object;
  readonly answer: object;
  /** Of the response. Default: 200. */
  readonly status?: 200 | 201;
}

/** How a body that breaks the schema of its route is passed through Fastify. */
export class BrokenSchema extends Error {
  constructor(readonly errors: readonly FieldError[]) {
    super('The body breaks the schema of its route.');
  }
}

/**
 * A route of the data plane: Fastify validates the body and serialises the answer by these schemas, and the OpenAPI
 * document shows them. The rules that a body breaks are kept for `checkedBody`, which runs after the guard: a caller
 * without the permission gets that error first.
 */
export function JsonSchemaRoute({ body, answer, status = 200 }: JsonRoute): MethodDecorator {
  return applyDecorators(
    RouteSchema({ body, response: { [status]: answer } }),
    ApiBody({ schema: body }),
    ApiResponse({
      status,
      description: 'The answer.',
      content: { 'application/json': { schema: answer } },
    }),
  );
}

/**
 * The body of a request to a `@JsonSchemaRoute`. When it breaks the schema, `crossFieldErrors` tells which other rules it
 * breaks, so that one answer names them all.
 * @throws AppError `validation.failed`
 */
// The schema of the route has checked the body, which TypeScript cannot know.
// oxlint-disable-next-line typescript/no-unnecessary-type-parameters
export function checkedBody<Body>(
  request: FastifyRequest,
  crossFieldErrors: (body: unknown) => readonly FieldError[] = () => NO_ERRORS,
): Body {
  const errors = bodyErrors(request);
  if (errors.length === 0) return request.body as Body;
  if (errors.length > MOST_ERRORS) throw validationFailed(errors);
  const named = new Set(errors.map(({ field }) => field));
  throw validationFailed([
    ...errors,
    ...crossFieldErrors(request.body).filter(({ field }) => !named.has(field)),
  ]);
}

/** The rules that the body of a request to a `@JsonSchemaRoute` breaks, for a handler that knows more rules. */
export function bodyErrors({ validationError, body }: FastifyRequest): readonly FieldError[] {
  const unsafe = mayHoldUnstorableText(body) ? unsafeInput(body) : NO_ERRORS;
  if (unsafe.length > 0 || validationError === undefined) return unsafe;
  if (validationError instanceof BrokenSchema) return validationError.errors;
  throw validationError;
}

const NO_ERRORS: readonly FieldError[] = [];
