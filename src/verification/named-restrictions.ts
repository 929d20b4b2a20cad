import type { KeyRestrictions } from '../api-keys/cached-key.js';
import type { NamesWith } from '../api-keys/api-key.fields.js';
import type { NameMatcher } from '../api-keys/matchers.js';

interface NamedRestriction {
  /** What a request calls the thing. */
  readonly input: string;
  /** The field of the key that lists which of them it may use. */
  readonly field: NamesWith<'restriction', 'names'>;
  /** The code of a verdict when it may not use this one. */
  readonly refusal: string;
  /** Of the input in the API document. */
  readonly description: string;
  listOf(key: KeyRestrictions): NameMatcher | undefined;
  nameIn(request: Readonly<Record<string, string>>): string | undefined;
}

/**
 * What a request names and a key may be restricted to, in the order of the checks. From this follow the inputs of verdicts
 * and their checks, codes and documentation. The members are read by functions of their own: one function that reads
 * members by name would be slower.
 */
export const NAMED_RESTRICTIONS = [
  {
    input: 'model',
    field: 'allowedModels',
    refusal: 'MODEL_NOT_ALLOWED',
    description: 'The model it is used for.',
    listOf: ({ models }: KeyRestrictions) => models,
    nameIn: ({ model }: { readonly model?: string }) => model,
  },
  {
    input: 'chatbot',
    field: 'allowedChatbots',
    refusal: 'CHATBOT_NOT_ALLOWED',
    description: 'The chatbot it is used with.',
    listOf: ({ chatbots }: KeyRestrictions) => chatbots,
    nameIn: ({ chatbot }: { readonly chatbot?: string }) => chatbot,
  },
] as const satisfies readonly NamedRestriction[];

/** What a request names; absent where it did not say. */
export type RequestNames = { readonly [Input in (typeof NAMED_RESTRICTIONS)[number]['input']]?: string };

/** The codes of keys that may not use what a request names. */
export type NameRefusal = (typeof NAMED_RESTRICTIONS)[number]['refusal'];

/** A value for each of these codes. */
export function byNameRefusal<Value>(
  valueOf: (restriction: (typeof NAMED_RESTRICTIONS)[number]) => Value,
): Readonly<Record<NameRefusal, Value>> {
  const entries = NAMED_RESTRICTIONS.map(
    (restriction) => [restriction.refusal, valueOf(restriction)] as const,
  );
  return Object.fromEntries(entries) as Record<NameRefusal, Value>;
}
