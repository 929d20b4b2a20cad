import { expect } from 'vitest';
import { ERROR_CATALOGUE, type ErrorCode } from '../../src/common/error-catalogue.js';
import type { ApiAnswer } from './api-client.js';

/** Asserts that an answer is the whole problem document of a code (RFC 9457), with this `detail` when one is given. */
export function expectProblem(answer: ApiAnswer, code: ErrorCode, detail?: string): void {
  const { status, title } = ERROR_CATALOGUE[code];
  expect({ status: answer.status, type: answer.headers.get('content-type') }).toEqual({
    status,
    type: expect.stringMatching(/^application\/problem\+json/),
  });
  expect(answer.body).toMatchObject({
    type: `/errors/${code}`,
    title,
    status,
    code,
    detail: detail ?? expect.stringMatching(/\S/),
    instance: expect.stringMatching(/^\//),
    request_id: answer.headers.get('x-request-id'),
  });
}

/** Asserts 422 with exactly these broken rules, in any order. */
export function expectInvalid(answer: ApiAnswer, ...errors: { field: string; message: unknown }[]): void {
  expectProblem(answer, 'validation.failed', 'The request breaks the rules listed in errors.');
  const byField = (a: { field: string }, b: { field: string }) => a.field.localeCompare(b.field);
  expect((answer.body['errors'] as { field: string }[]).toSorted(byField)).toEqual(errors.toSorted(byField));
}
