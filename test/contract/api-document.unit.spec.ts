import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { ERROR_CATALOGUE, type ErrorCode } from '../../src/common/error-catalogue.js';
import { projectPath } from '../../src/common/project-path.js';

type Json = string | number | boolean | null | Json[] | { [name: string]: Json };
type Node = { [name: string]: Json };

interface Answer {
  readonly description: string;
  readonly headers?: Node;
  readonly content?: Record<string, { schema?: Json }>;
}
interface Operation {
  readonly operationId: string;
  readonly summary: string;
  readonly description: string;
  readonly security?: Json[];
  readonly parameters?: { name: string; in: string; description?: string; schema: Node }[];
  readonly requestBody?: { content: Record<string, { schema: Json }> };
  readonly responses: Record<string, Answer>;
}

const document = JSON.parse(readFileSync(projectPath('openapi.json'), 'utf8')) as {
  paths: Record<string, Record<string, Operation>>;
  components: { schemas: Record<string, Node>; securitySchemes: Node };
};
const { schemas } = document.components;
const operations = Object.entries(document.paths).flatMap(([path, methods]) =>
  Object.entries(methods).map(([method, operation]) => ({
    path,
    method,
    name: operation.operationId,
    operation,
    answers: Object.entries(operation.responses),
  })),
);

/** A part of the document and all below it, each with its place; references are followed once each. */
function* partsOf(
  part: Json,
  place: string,
  isFollowed = false,
  seen = new Set<string>(),
): Generator<[string, Node]> {
  if (typeof part !== 'object' || part === null) return;
  if (!Array.isArray(part)) yield [place, part];
  for (const [name, child] of Object.entries(part))
    yield* partsOf(child, `${place}/${name}`, isFollowed, seen);
  const reference = Array.isArray(part) ? undefined : part['$ref'];
  if (!isFollowed || typeof reference !== 'string' || seen.has(reference)) return;
  seen.add(reference);
  const name = reference.slice(reference.lastIndexOf('/') + 1);
  if (reference.startsWith('#/components/schemas/'))
    yield* partsOf(schemas[name] ?? null, name, isFollowed, seen);
}

const isObject = ([, { type, properties }]: [string, Node]) => type === 'object' && properties !== undefined;
const typesOf = ({ type }: Node) => (Array.isArray(type) ? type : [type]);
const bodiesOf = ({ requestBody }: Operation) =>
  Object.values(requestBody?.content ?? {}).map(({ schema }) => schema);
const answersOf = ({ responses }: Operation) =>
  Object.values(responses).flatMap(({ content = {} }) =>
    Object.values(content).map(({ schema = null }) => schema),
  );
const placesOf = (parts: Iterable<[string, Node]>) => [...parts].map(([place]) => place);

describe('the API document, for those who generate clients from it,', () => {
  const everything = [...partsOf(document.paths as unknown as Json, ''), ...partsOf(schemas, 'schemas')];

  it('names every object once, and refers to it by that name', () => {
    const inline = everything.filter(
      (part) => isObject(part) && !/^schemas\/\w+$/.test(part[0]) && !part[0].includes('/headers/'),
    );
    expect(placesOf(inline)).toEqual([]);
    expect(Object.keys(schemas)).toEqual(
      expect.arrayContaining(
        (
          'Cents Verdict VerdictCode VerifyRequest RateLimitState Budget BudgetHold UsageEvent UsageReportResult FieldError ' +
          'BudgetType Role Introspection Problem ValidationProblem BudgetProblem VerdictProblem'
        ).split(' '),
      ),
    );
  });

  it('says how wide each integer is that may pass 31 bits, and each id, amount and time', () => {
    const narrow = everything.filter(([, part]) => {
      if (!typesOf(part).includes('integer') || part['format'] === 'int64') return false;
      return !(typeof part['maximum'] === 'number' && part['maximum'] < 2 ** 31);
    });
    expect(placesOf(narrow)).toEqual([]);
  });

  it('calls the ids of holds UUIDs wherever they are', () => {
    const named = everything.filter(([place]) => /\/(hold_id|properties\/hold_id)$/.test(place));
    const inPaths = operations
      .filter(({ path }) => path.includes('/budget-holds/{id}'))
      .map(({ name, operation }): [string, Node] => [
        name,
        operation.parameters?.find((each) => each.name === 'id')?.schema ?? {},
      ]);
    expect(inPaths.length).toBeGreaterThan(2);
    expect(named.length).toBeGreaterThan(2);
    expect(placesOf([...named, ...inPaths].filter(([, { format }]) => format !== 'uuid'))).toEqual([]);
  });

  it('has one type for the id of a key, but for the usage of one key, which keeps its text', () => {
    const others = everything.filter(
      ([place, part]) =>
        /\/(api_key_id|parent_key_id)$/.test(place) &&
        !typesOf(part).includes('integer') &&
        part['$ref'] === undefined,
    );
    expect(placesOf(others)).toEqual(['schemas/ApiKeyUsage/properties/api_key_id']);
  });

  it('closes every object that a request may send', () => {
    const open = operations.flatMap(({ name, operation }) =>
      bodiesOf(operation)
        .flatMap((body) => [...partsOf(body, name, true)])
        .filter((part) => isObject(part) && part[1]['additionalProperties'] !== false),
    );
    expect(placesOf(open)).toEqual([]);
  });

  it('closes no list of values in a response: new ones may come', () => {
    const closed = operations.flatMap(({ name, operation }) =>
      answersOf(operation)
        .flatMap((answer) => [...partsOf(answer, name, true)])
        .filter(([, part]) => 'enum' in part || 'const' in part),
    );
    expect(placesOf(closed)).toEqual([]);
  });

  it('never writes null into a list of values, nor a type that generators do not know', () => {
    const odd = everything.filter(
      ([, part]) => 'nullable' in part || (Array.isArray(part['enum']) && part['enum'].includes(null)),
    );
    expect(placesOf(odd)).toEqual([]);
  });

  it('offers no choice between an object and a list, and no pattern beside the format of UUIDs: clients would not compile', () => {
    const choices = everything.filter(
      ([, { oneOf, anyOf }]) =>
        JSON.stringify(oneOf ?? anyOf ?? []).includes('"type":"array"') && Array.isArray(oneOf ?? anyOf),
    );
    const patterns = everything.filter(([, part]) => part['format'] === 'uuid' && 'pattern' in part);
    expect(placesOf([...choices, ...patterns])).toEqual([]);
  });

  it('has one media type for each request and each response', () => {
    const several = operations.flatMap(({ name, operation, answers }) => [
      ...(Object.keys(operation.requestBody?.content ?? { one: null }).length === 1
        ? []
        : [`${name} request`]),
      ...answers
        .filter(([, { content = {} }]) => Object.keys(content).length > 1)
        .map(([status]) => `${name} ${status}`),
    ]);
    expect(several).toEqual([]);
  });

  it('declares the headers that tell a client what to do', () => {
    const NEEDED: Record<string, string> = {
      401: 'WWW-Authenticate',
      429: 'Retry-After',
      503: 'Retry-After',
    };
    const missing = operations.flatMap(({ name, answers }) =>
      answers.flatMap(([status, { headers = {} }]) => {
        const wanted = ['X-Request-Id', ...(NEEDED[status] === undefined ? [] : [NEEDED[status]])];
        return wanted
          .filter((header) => !(header in headers))
          .map((header) => `${name} ${status}: ${header}`);
      }),
    );
    expect(missing).toEqual([]);
    const headersOf = (action: string) =>
      Object.keys(operations.find(({ name }) => name === action)?.operation.responses['200']?.headers ?? {});
    expect(headersOf('get_api_key')).toContain('ETag');
    expect(headersOf('forward_auth')).toContain('RateLimit');
  });

  it('requires the errors of a validation problem, and calls the header of a key by its name', () => {
    expect(schemas['ValidationProblem']).toMatchObject({
      required: expect.arrayContaining(['errors']) as unknown,
    });
    expect(document.components.securitySchemes).toMatchObject({
      apiKeyHeader: { type: 'apiKey', in: 'header', name: 'X-API-Key' },
    });
  });
});

describe('the API document, for those who read it,', () => {
  it('says of each operation what it is for, and of each parameter and property what it means', () => {
    const silent = operations.filter(({ operation }) => !operation.summary || !operation.description);
    expect(silent.map(({ name }) => name)).toEqual([]);
    const parameters = operations.flatMap(({ name, operation }) =>
      (operation.parameters ?? [])
        .filter((each) => !each.description && !('$ref' in each))
        .map((each) => `${name} ${each.name}`),
    );
    expect(parameters).toEqual([]);
    const undescribed = Object.entries(schemas).flatMap(([name, { properties = {} }]) =>
      Object.entries(properties as Record<string, Node>)
        .filter(([, part]) => !('description' in part) && !('$ref' in part))
        .map(([property]) => `${name}.${property}`),
    );
    expect(undescribed).toEqual([]);
  });

  it('names the error codes of each refusal, and only codes of its status', () => {
    const wrong = operations.flatMap(({ name, answers }) =>
      answers
        .filter(([status]) => Number(status) >= 400)
        .flatMap(([status, { description }]) => {
          const codes = [...description.matchAll(/`([a-z_]+\.[a-z_]+)`/g)].map(
            ([, code]) => code as ErrorCode,
          );
          const isRight =
            codes.length > 0 && codes.every((code) => ERROR_CATALOGUE[code]?.status === Number(status));
          return isRight ? [] : [`${name} ${status}: ${description}`];
        }),
    );
    expect(wrong).toEqual([]);
  });
});
