import {
  BooleanField,
  ChoiceField,
  IntegerField,
  ResponseField,
  TextField,
  TextListField,
  TimestampField,
} from '../contract/fields.js';
import type { ApiKeyField } from './api-key-field.js';

/** Checks, converts and documents a field in a body. */
export function inputField(field: ApiKeyField, optional: boolean): PropertyDecorator {
  const options = { ...field.request, optional, nullable: field.isNullable ?? false };
  switch (field.kind) {
    case 'text':
      return TextField({ ...options, minLength: field.minLength ?? 0, maxLength: field.maxLength });
    case 'boolean':
      return BooleanField(options);
    case 'integer':
      return IntegerField({ ...options, minimum: field.minimum, maximum: field.maximum });
    case 'timestamp':
      return TimestampField(options);
    case 'choice':
      return ChoiceField({ ...options, choices: field.choices });
    case 'texts':
      return TextListField({
        ...options,
        ...(field.entryCheck === undefined ? {} : { entryCheck: field.entryCheck }),
      });
  }
}

/** Documents a field in an answer. */
export function shownField(field: ApiKeyField): PropertyDecorator {
  const nullable = field.isNullable === undefined ? {} : { nullable: true };
  return ResponseField({ ...schemaOf(field), ...nullable, ...field.response });
}

function schemaOf(field: ApiKeyField): object {
  switch (field.kind) {
    case 'text':
      return { type: 'string' };
    case 'boolean':
      return { type: 'boolean' };
    case 'integer':
      return { type: 'integer', ...(field.column === 'bigint' ? { format: 'int64' } : {}) };
    case 'timestamp':
      return { type: 'string', format: 'date-time' };
    case 'choice':
      return { type: 'string', enum: field.isNullable ? [...field.choices, null] : [...field.choices] };
    case 'texts':
      return { type: 'array', items: { type: 'string' } };
  }
}
