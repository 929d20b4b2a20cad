import {
  API_KEY_FIELDS,
  type ApiKeyFields,
  fieldsWithRestriction,
  type NamesWith,
  wireNameOf,
} from '../api-keys/api-key.fields.js';

type NamesField = NamesWith<'restriction', 'names'>;

/** What a request names and a key may be restricted to; absent where the request did not say. */
export type RequestNames = {
  readonly [Name in NamesField as ApiKeyFields[Name]['asked']['input']]?: string;
};

/** The codes of keys that may not use what a request names. */
export type NameRefusal = ApiKeyFields[NamesField]['asked']['refusal'];

/** The restrictions by name, in the order of the checks and of `KeyRestrictions.names`. */
export const NAMED_RESTRICTIONS = fieldsWithRestriction('names').map((name, index) => ({
  index,
  /** The field of the key. */
  field: wireNameOf(name),
  /** What the field means in a response. */
  meaning: API_KEY_FIELDS[name].response.description,
  ...API_KEY_FIELDS[name].asked,
}));

/** A value for each of these codes. */
export function byNameRefusal<Value>(
  valueOf: (restriction: (typeof NAMED_RESTRICTIONS)[number]) => Value,
): Readonly<Record<NameRefusal, Value>> {
  const entries = NAMED_RESTRICTIONS.map(
    (restriction) => [restriction.refusal, valueOf(restriction)] as const,
  );
  return Object.fromEntries(entries) as Record<NameRefusal, Value>;
}
