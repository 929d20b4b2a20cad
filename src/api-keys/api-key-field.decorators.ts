import {
  BooleanField,
  ChoiceField,
  IntegerField,
  ResponseField,
  TextField,
  TextListField,
  TimestampField,
} from '../contract/fields.js';
import { COUNT, openEnum, TEXTS, TIMESTAMP } from '../contract/wire-schemas.js';
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
      return ChoiceField({ ...options, name: field.schemaName, choices: field.choices });
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
  return ResponseField({ ...field.response, ...schemaOf(field), ...nullable });
}

function schemaOf(field: ApiKeyField): object {
  switch (field.kind) {
    case 'text':
      return { type: 'string' };
    case 'boolean':
      return { type: 'boolean' };
    case 'integer':
      return COUNT;
    case 'timestamp':
      return TIMESTAMP;
    case 'choice':
      return openEnum(field.choices, field.response.description ?? '');
    case 'texts':
      return TEXTS;
  }
}
