import { ApiProperty, type ApiPropertyOptions } from '@nestjs/swagger';
import { Transform } from 'class-transformer';
import { ValidateBy, ValidateIf } from 'class-validator';
import {
  booleanCheck,
  type Check,
  choiceCheck,
  integerCheck,
  parseTimestamp,
  textCheck,
  textListCheck,
  timestampCheck,
} from './input-checks.js';

/*
 * One decorator per kind of field. Each validates the field, converts it where the wire needs it and
 * documents it in the OpenAPI document, from the same options: the three cannot drift apart.
 */

interface FieldOptions {
  readonly description?: string;
  readonly example?: unknown;
  readonly optional?: boolean;
  readonly nullable?: boolean;
  readonly default?: unknown;
}

interface TextFieldOptions extends FieldOptions {
  readonly minLength?: number;
  readonly maxLength: number;
  readonly pattern?: { readonly regex: RegExp; readonly rule: string };
  readonly isSecret?: boolean;
}

interface IntegerFieldOptions extends FieldOptions {
  readonly minimum: number;
  readonly maximum: number;
  /** The value arrives as text: a query or path parameter. */
  readonly fromText?: boolean;
}

interface TextListFieldOptions extends FieldOptions {
  readonly maxEntries?: number;
  readonly maxLength?: number;
  readonly entryCheck?: Check;
}

export function TextField(options: TextFieldOptions): PropertyDecorator {
  const { minLength = 0, maxLength, pattern, isSecret } = options;
  const schema = {
    type: 'string',
    minLength,
    maxLength,
    ...(pattern === undefined ? {} : { pattern: pattern.regex.source }),
    ...(isSecret ? { format: 'password' } : {}),
  };
  return field(options, schema, textCheck(minLength, maxLength, pattern));
}

export function IntegerField(options: IntegerFieldOptions): PropertyDecorator {
  const { minimum, maximum, fromText } = options;
  const decorate = field(options, { type: 'integer', minimum, maximum }, integerCheck(minimum, maximum));
  return fromText
    ? all(
        decorate,
        Transform(({ value }) => integerFromText(value)),
      )
    : decorate;
}

export function BooleanField(options: FieldOptions & { readonly fromText?: boolean }): PropertyDecorator {
  const decorate = field(options, { type: 'boolean' }, booleanCheck);
  return options.fromText
    ? all(
        decorate,
        Transform(({ value }) => booleanFromText(value)),
      )
    : decorate;
}

export function ChoiceField(
  options: FieldOptions & { readonly choices: readonly string[] },
): PropertyDecorator {
  return field(options, { type: 'string', enum: [...options.choices] }, choiceCheck(options.choices));
}

export function TimestampField(options: FieldOptions): PropertyDecorator {
  const decorate = field(options, { type: 'string', format: 'date-time' }, timestampCheck);
  return all(
    decorate,
    Transform(({ value }) => parseTimestamp(value)),
  );
}

export function TextListField(options: TextListFieldOptions): PropertyDecorator {
  const { maxEntries = 100, maxLength = 200, entryCheck = textCheck(1, maxLength) } = options;
  const items = { type: 'string' as const, minLength: 1, maxLength };
  const schema = { type: 'array', items, maxItems: maxEntries, uniqueItems: true };
  return field(options, schema, textListCheck(maxEntries, entryCheck));
}

/** Documents a field of an answer; nothing is validated. */
export function ResponseField(schema: ApiPropertyOptions): PropertyDecorator {
  return ApiProperty(schema);
}

/** A positive integer id in a path: `/api-keys/{id}`. */
export function IdField(description: string): PropertyDecorator {
  return IntegerField({
    description,
    minimum: 1,
    maximum: Number.MAX_SAFE_INTEGER,
    fromText: true,
    example: 1,
  });
}

function field(options: FieldOptions, schema: object, check: Check): PropertyDecorator {
  const { optional = false, nullable = false, description, example, default: defaultValue } = options;
  const documented = {
    ...schema,
    required: !optional,
    ...(nullable ? { nullable } : {}),
    ...(description === undefined ? {} : { description }),
    ...(example === undefined ? {} : { example }),
    ...(defaultValue === undefined ? {} : { default: defaultValue }),
  } as ApiPropertyOptions;
  const isPresent = (value: unknown) => !(optional && value === undefined) && !(nullable && value === null);
  return all(
    ApiProperty(documented),
    ValidateIf((_object, value) => isPresent(value)),
    rule((value) =>
      value === undefined ? 'is required' : value === null ? 'must not be null' : check(value),
    ),
  );
}

function rule(check: Check): PropertyDecorator {
  return ValidateBy({
    name: 'rule',
    validator: {
      validate: (value) => check(value) === undefined,
      defaultMessage: (parameters) => check(parameters?.value) ?? '',
    },
  });
}

function all(...decorators: PropertyDecorator[]): PropertyDecorator {
  return (target, property) => {
    for (const decorate of decorators) decorate(target, property);
  };
}

function integerFromText(value: unknown): unknown {
  return typeof value === 'string' && /^-?\d{1,16}$/.test(value) ? Number(value) : value;
}

function booleanFromText(value: unknown): unknown {
  return value === 'true' ? true : value === 'false' ? false : value;
}
