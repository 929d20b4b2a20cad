import { bareClass } from '../common/bare-class.js';
import { TextField, TextListField } from '../contract/fields.js';
import { NAMED_RESTRICTIONS, type RequestNames } from './named-restrictions.js';

const Names: new () => RequestNames = bareClass();
for (const { input } of NAMED_RESTRICTIONS) {
  const description = `The ${input} it is for.`;
  TextField({ maxLength: 200, optional: true, description })(Names.prototype as object, input);
}

/** What the gateway knows of the request beside its headers. */
export class ForwardAuthQuery extends Names {
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
