import type { OpenAPIObject } from '@nestjs/swagger';
import { isDeepStrictEqual } from 'node:util';
import { componentNamed, type JsonSchema } from './components.js';

const LARGEST_INT32 = 2_147_483_647;

/** What a use of a named schema may say for itself. */
const OWN_KEYWORDS = new Set(['description', 'default', 'example', 'examples']);
/** What may differ from the named schema: `type` and `enum` by null. */
const USE_KEYWORDS = new Set([...OWN_KEYWORDS, 'title', 'type', 'enum']);

/**
 * Brings the schemas of the document to a form that generators of clients read: each named schema is a component that its
 * uses refer to, each integer says how many bits it needs, a nullable enum is a choice of the enum and null, and objects
 * that requests hold have no other members.
 */
export function completeSchemas(document: OpenAPIObject): void {
  const schemas: Record<string, unknown> = {};
  const writer = new SchemaWriter(schemas);
  for (const [name, schema] of Object.entries(document.components?.schemas ?? {}))
    schemas[name] = writer.write(schema as JsonSchema);
  const paths = writer.writeWithin(document.paths) as OpenAPIObject['paths'];
  closeInputs(paths, schemas);
  document.paths = paths;
  const headers = writer.writeWithin(document.components?.headers ?? {}) as Headers;
  document.components = { ...document.components, headers, schemas: schemas as Components };
}

type AllComponents = NonNullable<OpenAPIObject['components']>;
type Components = NonNullable<AllComponents['schemas']>;
type Headers = NonNullable<AllComponents['headers']>;

class SchemaWriter {
  constructor(private readonly schemas: Record<string, unknown>) {}

  /** A part of the document with all schemas in it written. */
  writeWithin(part: unknown): unknown {
    if (Array.isArray(part)) return part.map((entry) => this.writeWithin(entry));
    if (!isObject(part)) return part;
    return mapValues(part, (value, key) =>
      key === 'schema' && isObject(value) ? this.write(value) : this.writeWithin(value),
    );
  }

  write(schema: JsonSchema): JsonSchema {
    const { title } = schema;
    const named = componentNamed(title);
    if (named === undefined) return withBits(nullableEnum(withoutUuidPattern(this.#writeParts(schema))));
    this.#addComponent(String(title), named.documented);
    return reference(String(title), schema, named.schema);
  }

  #addComponent(name: string, schema: JsonSchema): void {
    if (Object.hasOwn(this.schemas, name)) return;
    // Before its parts are written, which may lead back to it.
    this.schemas[name] = {};
    this.schemas[name] = withBits(this.#writeParts(schema));
  }

  #writeParts(schema: JsonSchema): JsonSchema {
    return mapValues(schema, (value, key) => {
      if (key === 'properties' && isObject(value))
        return mapValues(value, (property) => this.write(property as JsonSchema));
      if (['items', 'additionalProperties'].includes(key) && isObject(value)) return this.write(value);
      if (['oneOf', 'anyOf', 'allOf'].includes(key) && Array.isArray(value))
        return value.map((each) => this.write(each as JsonSchema));
      return value;
    });
  }
}

/** A use of a named schema. @throws Error when it says something that the schema does not */
function reference(name: string, use: JsonSchema, named: JsonSchema): JsonSchema {
  const differing = Object.keys(use).filter(
    (key) => !USE_KEYWORDS.has(key) && !isDeepStrictEqual(use[key], named[key]),
  );
  if (differing.length > 0) throw new Error(`A ${name} differs from the others in ${differing.join(', ')}.`);
  const ref = { $ref: `#/components/schemas/${name}` };
  const own = Object.fromEntries(
    Object.entries(use).filter(
      ([key, value]) => OWN_KEYWORDS.has(key) && !isDeepStrictEqual(value, named[key]),
    ),
  );
  const isNullable = Array.isArray(use['type']) && use['type'].includes('null');
  return isNullable ? { ...own, anyOf: [ref, { type: 'null' }] } : { ...ref, ...own };
}

/** Generators read an enum with null among its values in different ways, or not at all. */
function nullableEnum(schema: JsonSchema): JsonSchema {
  const { type, enum: values, description, default: defaultValue, ...rest } = schema;
  if (!Array.isArray(type) || !type.includes('null') || !Array.isArray(values)) return schema;
  const [only] = type.filter((each) => each !== 'null') as string[];
  return {
    ...(description === undefined ? {} : { description }),
    ...(defaultValue === undefined ? {} : { default: defaultValue }),
    anyOf: [{ ...rest, type: only, enum: values.filter((value) => value !== null) }, { type: 'null' }],
  };
}

/** The format says it all, and clients in Python do not compile with both. */
function withoutUuidPattern(schema: JsonSchema): JsonSchema {
  if (schema['format'] !== 'uuid') return schema;
  const { pattern: _pattern, minLength: _min, maxLength: _max, ...rest } = schema;
  return rest;
}

/** An integer without a format is 32 bits wide for many generators. */
function withBits(schema: JsonSchema): JsonSchema {
  const { type, format, maximum } = schema;
  const isInteger = type === 'integer' || (Array.isArray(type) && type.includes('integer'));
  if (!isInteger || format !== undefined) return schema;
  const isSmall = typeof maximum === 'number' && maximum <= LARGEST_INT32;
  return { ...schema, format: isSmall ? 'int32' : 'int64' };
}

/** Requests with unknown members are refused, so the objects of requests are closed. */
function closeInputs(paths: OpenAPIObject['paths'], schemas: Record<string, unknown>): void {
  const seen = new Set<unknown>();
  const close = (part: unknown): void => {
    if (typeof part !== 'object' || part === null || seen.has(part)) return;
    seen.add(part);
    const { $ref, type, properties, additionalProperties } = part as JsonSchema;
    if (typeof $ref === 'string') close(schemas[$ref.slice($ref.lastIndexOf('/') + 1)]);
    if (type === 'object' && properties !== undefined && additionalProperties === undefined)
      Object.assign(part, { additionalProperties: false });
    Object.values(part).forEach(close);
  };
  for (const item of Object.values(paths))
    for (const operation of Object.values(item) as { requestBody?: unknown }[]) close(operation.requestBody);
}

function mapValues(object: JsonSchema, map: (value: unknown, key: string) => unknown): JsonSchema {
  return Object.fromEntries(Object.entries(object).map(([key, value]) => [key, map(value, key)]));
}

function isObject(value: unknown): value is JsonSchema {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
