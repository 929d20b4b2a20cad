import { ApiProperty, type ApiPropertyOptions } from '@nestjs/swagger';
import { Transform } from 'class-transformer';
import { ValidateBy } from 'class-validator';
import { component } from './components.js';
import { noteFieldRule } from './field-rules.js';
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

/** Converts a value as it arrived to the value of the field; one that it cannot convert stays as it is. */
type Convert = (value: unknown) => unknown;

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
  /** Its text is never stored in clear. Other fields of a body refuse text that holds a secret. */
  readonly areSecretsAllowed?: boolean;
}

interface TextFieldOptions extends FieldOptions {
  readonly minLength?: number;
  readonly maxLength: number;
  readonly pattern?: { readonly regex: RegExp; readonly rule: string };
  /** What the document calls the form of the text; `pattern` checks it. */
  readonly format?: string;
  /** A password or a token: documented as one, and allowed to look like one. */
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
  /** Converts another value to a list. */
  readonly convert?: Convert;
}

export function TextField(options: TextFieldOptions): PropertyDecorator {
  const { minLength = 0, maxLength, pattern, isSecret = false } = options;
  const schema = {
    type: 'string',
    minLength,
    maxLength,
    ...(pattern === undefined ? {} : { pattern: pattern.regex.source }),
    ...(isSecret ? { format: 'password' } : {}),
    ...(options.format === undefined ? {} : { format: options.format }),
  };
  const secrets = { areSecretsAllowed: options.areSecretsAllowed ?? isSecret };
  return field({ ...options, ...secrets }, schema, textCheck(minLength, maxLength, pattern));
}

export function IntegerField(options: IntegerFieldOptions): PropertyDecorator {
  const { minimum, maximum, fromText } = options;
  const schema = { type: 'integer', minimum, maximum };
  return field(options, schema, integerCheck(minimum, maximum), fromText ? integerFromText : undefined);
}

export function BooleanField(options: FieldOptions & { readonly fromText?: boolean }): PropertyDecorator {
  return field(options, { type: 'boolean' }, booleanCheck, options.fromText ? booleanFromText : undefined);
}

interface ChoiceFieldOptions extends FieldOptions {
  readonly choices: readonly string[];
  /** Its name in the API document, for choices that several fields have. */
  readonly name?: string;
}

export function ChoiceField(options: ChoiceFieldOptions): PropertyDecorator {
  const { name, choices } = options;
  const schema = { type: 'string', enum: [...choices] };
  return field(options, name === undefined ? schema : component(name, schema), choiceCheck(choices));
}

export function TimestampField(options: FieldOptions): PropertyDecorator {
  return field(options, { type: 'string', format: 'date-time' }, timestampCheck, parseTimestamp);
}

export function TextListField(options: TextListFieldOptions): PropertyDecorator {
  const { maxEntries = 100, maxLength = 200, entryCheck = textCheck(1, maxLength), convert } = options;
  const items = { type: 'string' as const, minLength: 1, maxLength };
  const schema = { type: 'array', items, maxItems: maxEntries, uniqueItems: true };
  const check = textListCheck(maxEntries, entryCheck);
  // Before conversion only the length is checked; the entries are checked after it.
  const bound: Check = (value) =>
    Array.isArray(value) && value.length <= maxEntries ? undefined : check(value);
  return field(options, schema, check, convert, convert === undefined ? check : bound);
}

/** Documents a field of an answer; nothing is validated. */
export function ResponseField(schema: ApiPropertyOptions): PropertyDecorator {
  return ApiProperty(schema);
}

const [SMALLEST_ID, LARGEST_ID] = [1, Number.MAX_SAFE_INTEGER];

/** The rule of `IdField`. */
export const idCheck: Check = integerCheck(SMALLEST_ID, LARGEST_ID);

/** A positive integer id in a path: `/api-keys/{id}`. */
export function IdField(description: string): PropertyDecorator {
  return IntegerField({
    description,
    minimum: SMALLEST_ID,
    maximum: LARGEST_ID,
    fromText: true,
    example: 1,
  });
}

/** `checkList` is for lists and objects as they arrived, before they are converted; `check` is for the result. */
function field(
  options: FieldOptions,
  schema: object,
  check: Check,
  convert?: Convert,
  checkList: Check = check,
): PropertyDecorator {
  const { optional = false, nullable = false, description, example, default: defaultValue } = options;
  const { areSecretsAllowed = false } = options;
  const documented = {
    ...schema,
    required: !optional,
    ...(nullable ? { nullable } : {}),
    ...(description === undefined ? {} : { description }),
    ...(example === undefined ? {} : { example }),
    ...(defaultValue === undefined ? {} : { default: defaultValue }),
  } as ApiPropertyOptions;
  const judgeBy =
    (ofValue: Check): Check =>
    (value) => {
      if (value === undefined) return optional ? undefined : 'is required';
      if (value === null) return nullable ? undefined : 'must not be null';
      return ofValue(value);
    };
  const judge = judgeBy(check);
  return (target, property) => {
    ApiProperty(documented)(target, property);
    rule(judge)(target, property);
    if (convert !== undefined)
      Transform(({ value }: { value: unknown }) => (value === undefined ? value : convert(value)))(
        target,
        property,
      );
    noteFieldRule(target, String(property), {
      checkArrived: judgeBy(checkList),
      areSecretsAllowed,
    });
  };
}

/** A check as class-validator runs it. */
function rule(check: Check): PropertyDecorator {
  return ValidateBy({
    name: 'rule',
    validator: {
      validate: (value) => check(value) === undefined,
      defaultMessage: (parameters) => check(parameters?.value) ?? '',
    },
  });
}

/** The number in the text of a parameter; a value that is no such text stays as it is. */
export function integerFromText(value: unknown): unknown {
  return typeof value === 'string' && /^-?\d{1,16}$/.test(value) ? Number(value) : value;
}

function booleanFromText(value: unknown): unknown {
  return value === 'true' ? true : value === 'false' ? false : value;
}
