import { isDeepStrictEqual } from 'node:util';
import type { OpenAPIObject } from '@nestjs/swagger';
import { ERROR_CATALOGUE, type ErrorCode } from '../common/error-catalogue.js';
import type { JsonSchema } from './components.js';
import { type DescribedOperation, errorCodesOf } from './operation-errors.js';
import { PROBLEM_MEDIA_TYPE } from './problem.js';
import { PROBLEM_SCHEMA, VALIDATION_PROBLEM_SCHEMA } from './problem-schemas.js';
import { type DocumentedHeader, headersOf } from './response-headers.js';

type HeaderOrReference = DocumentedHeader | { readonly $ref: string };

interface DocumentedResponse {
  description?: string;
  headers?: Readonly<Record<string, HeaderOrReference>>;
  content?: unknown;
}

interface DocumentedOperation extends DescribedOperation {
  responses: Record<string, DocumentedResponse>;
  security?: unknown[];
  'x-error-codes'?: readonly ErrorCode[];
  'x-problems'?: Readonly<Record<number, OperationProblem>>;
}

/** What the problem documents of one status of an operation have beyond those of all others. */
export interface OperationProblem {
  readonly schema: JsonSchema;
  readonly headers?: Readonly<Record<string, DocumentedHeader>>;
}

/** Adds the problem responses of each operation: their statuses follow from its error codes. */
export function addProblemResponses(document: OpenAPIObject): void {
  const headers = new SharedHeaders();
  for (const item of Object.values(document.paths)) {
    for (const operation of Object.values(item) as DocumentedOperation[]) {
      const codes = errorCodesOf(operation);
      const problems = operation['x-problems'] ?? {};
      delete operation['x-problems'];
      operation['x-error-codes'] = codes;
      for (const status of new Set(codes.map(statusOf))) {
        const ofStatus = codes.filter((code) => statusOf(code) === status);
        operation.responses[status] = problemResponse(status, ofStatus, problems[status]);
      }
      for (const [status, response] of Object.entries(operation.responses))
        response.headers = headers.refer({ ...headersOf(Number(status)), ...response.headers });
      describeCredentials(operation);
    }
  }
  document.components = { ...document.components, headers: headers.components };
}

/** The headers of all responses, each described once. */
class SharedHeaders {
  readonly components: Record<string, DocumentedHeader> = {};

  refer(headers: Readonly<Record<string, HeaderOrReference>>): Record<string, HeaderOrReference> {
    const refer = (name: string, header: HeaderOrReference): HeaderOrReference => {
      if ('$ref' in header) return header;
      const shared = (this.components[name] ??= header);
      return isDeepStrictEqual(shared, header) ? { $ref: `#/components/headers/${name}` } : header;
    };
    return Object.fromEntries(Object.entries(headers).map(([name, header]) => [name, refer(name, header)]));
  }
}

function statusOf(code: ErrorCode): number {
  return ERROR_CATALOGUE[code].status;
}

function problemResponse(
  status: number,
  codes: readonly ErrorCode[],
  problem: OperationProblem | undefined,
): DocumentedResponse {
  const usual = status === 422 ? VALIDATION_PROBLEM_SCHEMA : PROBLEM_SCHEMA;
  return {
    description: codes.map((code) => `\`${code}\`: ${ERROR_CATALOGUE[code].title}.`).join('\n'),
    ...(problem?.headers === undefined ? {} : { headers: problem.headers }),
    content: { [PROBLEM_MEDIA_TYPE]: { schema: problem?.schema ?? usual } },
  };
}

/** Either credential will do. A route without a rule needs none, or says which one it judges. */
function describeCredentials(operation: DocumentedOperation): void {
  if (operation['x-access-rule'] !== undefined)
    operation.security = [{ accessToken: [] }, { apiKeyHeader: [] }];
  else operation.security ??= [];
}
