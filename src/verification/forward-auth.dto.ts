import { TextField, TextListField } from '../contract/fields.js';

/** What the gateway knows of the request beside its headers. */
export class ForwardAuthQuery {
  @TextField({ maxLength: 200, optional: true, description: 'The model it is for.' })
  model?: string;

  @TextField({ maxLength: 200, optional: true, description: 'The chatbot it is for.' })
  chatbot?: string;

  @TextListField({
    optional: true,
    convert: scopesOf,
    description: 'Scopes the key must have; repeated, or separated by spaces.',
  })
  scope?: string[];
}

function scopesOf(value: unknown): unknown {
  const texts: unknown[] = Array.isArray(value) ? value : [value];
  if (!texts.every((text) => typeof text === 'string')) return value;
  return [...new Set(texts.flatMap((text) => text.split(' ')).filter((scope) => scope !== ''))];
}
