import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import { describeApi } from '../../src/contract/api-document.js';

/** What the API document says of one property or parameter. */
export interface DescribedValue {
  readonly type?: string | readonly string[];
  readonly items?: DescribedValue;
  readonly properties?: Readonly<Record<string, DescribedValue>>;
  readonly enum?: readonly unknown[];
  readonly format?: string;
}

/** One operation with everything a caller can put into it. */
export interface DescribedOperation {
  readonly action: string;
  readonly method: string;
  /** With `{id}` in it. */
  readonly path: string;
  /** Properties of its JSON body; undefined when it has none. */
  readonly body: Readonly<Record<string, DescribedValue>> | undefined;
  /** Properties of one item, where its body is a list or has one of objects. */
  readonly item: Readonly<Record<string, DescribedValue>> | undefined;
  /** False for an operation that takes no body of any media type. */
  readonly hasBody: boolean;
  readonly queryParameters: readonly string[];
}

interface RawSchema {
  readonly $ref?: string;
  readonly oneOf?: readonly DescribedValue[];
  readonly properties?: Readonly<Record<string, DescribedValue>>;
}

interface RawOperation {
  readonly operationId: string;
  readonly parameters?: readonly { readonly in: string; readonly name: string }[];
  readonly requestBody?: { readonly content: Readonly<Record<string, { readonly schema: RawSchema }>> };
}

/** Every operation as the running application describes itself. */
export function describedOperations(app: NestFastifyApplication): DescribedOperation[] {
  const document = describeApi(app, 'under test');
  const schemas = (document.components?.schemas ?? {}) as Record<string, RawSchema>;
  return Object.entries(document.paths).flatMap(([path, item]) =>
    Object.entries(item as Record<string, RawOperation>).map(([method, operation]) => {
      const described = operation.requestBody?.content['application/json']?.schema;
      const schema = described?.$ref === undefined ? described : schemas[described.$ref.split('/').at(-1)!];
      return {
        action: operation.operationId,
        method: method.toUpperCase(),
        path,
        body: schema?.properties,
        item: itemOf(schema),
        hasBody: operation.requestBody !== undefined,
        queryParameters: (operation.parameters ?? [])
          .filter((parameter) => parameter.in === 'query')
          .map(({ name }) => name),
      };
    }),
  );
}

function itemOf({ oneOf = [], properties = {} }: RawSchema = {}): DescribedOperation['item'] {
  const lists = [...oneOf, ...Object.values(properties)].filter(({ type }) => type === 'array');
  return lists.find(({ items }) => items?.properties !== undefined)?.items?.properties;
}
