import { Ajv, type ErrorObject, type ValidateFunction } from 'ajv';
import { MOST_ERRORS, type FieldError } from '../common/app-error.js';

/** The parts of a JSON Schema that bound how large a value is. */
interface BoundingSchema {
  readonly maxItems?: number;
  readonly items?: BoundingSchema;
  readonly properties?: Readonly<Record<string, BoundingSchema>>;
  readonly additionalProperties?: unknown;
}

/** The rules of a schema that a value breaks; none when it breaks none. Defaults of the schema are filled in. */
export type SchemaValidator = (value: unknown) => readonly FieldError[];

const NO_ERRORS: readonly FieldError[] = [];
/** They are for documents: the values are checked by patterns and by the code that reads them. */
const FORMATS = { uuid: true, 'date-time': true, int32: true, int64: true } as const;
const OPTIONS = { useDefaults: true, strictTypes: false, formats: FORMATS } as const;
const first = new Ajv(OPTIONS);
const every = new Ajv({ ...OPTIONS, allErrors: true });

/**
 * Compiles a schema. A value that breaks it is checked again for all rules, with its lists cut to one entry more than the
 * schema allows: a list that is one entry too long breaks the same rule as one with a hundred thousand.
 */
export function schemaValidator(schema: object): SchemaValidator {
  const isValid = first.compile(schema);
  let collect: ValidateFunction | undefined;
  return (value) => {
    if (isValid(value)) return NO_ERRORS;
    collect ??= every.compile(schema);
    collect(cutToBounds(schema, value));
    return (collect.errors ?? []).map(toFieldError);
  };
}

function cutToBounds(schema: BoundingSchema, value: unknown): unknown {
  if (Array.isArray(value)) {
    const { maxItems = value.length, items } = schema;
    const kept: unknown[] = value.slice(0, maxItems + 1);
    return items === undefined ? kept : kept.map((item) => cutToBounds(items, item));
  }
  const { properties, additionalProperties } = schema;
  if (typeof value !== 'object' || value === null || !properties || additionalProperties !== false)
    return value;
  let unknown = 0;
  const entries = Object.entries(value).flatMap(([name, item]): [string, unknown][] => {
    const known = Object.hasOwn(properties, name) ? properties[name] : undefined;
    if (known !== undefined) return [[name, cutToBounds(known, item)]];
    unknown += 1;
    return unknown > MOST_ERRORS + 1 ? [] : [[name, null]];
  });
  return Object.fromEntries(entries);
}

function toFieldError({ instancePath, keyword, message, params }: ErrorObject): FieldError {
  const parent = fieldOf(instancePath);
  const join = (name: unknown) => (parent === '' ? String(name) : `${parent}.${String(name)}`);
  if (keyword === 'required') return { field: join(params['missingProperty']), message: 'is required' };
  if (keyword === 'additionalProperties')
    return { field: join(params['additionalProperty']), message: 'is not a known property' };
  return { field: parent === '' ? 'body' : parent, message: message ?? 'is not valid' };
}

/** `/requests/3/ip` as `requests[3].ip`. */
function fieldOf(instancePath: string): string {
  return instancePath
    .split('/')
    .slice(1)
    .map((part) => (/^\d+$/.test(part) ? `[${part}]` : `.${part}`))
    .join('')
    .replace(/^\./, '');
}
