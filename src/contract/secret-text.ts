import type { Redactor } from '../common/redactor.js';

/** Why text that would be stored as it came is refused when it looks like a secret. */
export const NO_SECRETS = 'must not hold a secret, such as an API key or a token';

/** Why the text or the list of texts in a field that is stored and shown to others is refused. */
export function secretProblem(value: unknown, redactor: Redactor): string | undefined {
  if (typeof value === 'string') return redactor.holdsSecret(value) ? NO_SECRETS : undefined;
  if (!Array.isArray(value)) return undefined;
  const entry = value.findIndex((text) => typeof text === 'string' && redactor.holdsSecret(text));
  return entry === -1 ? undefined : `entry ${entry} ${NO_SECRETS}`;
}
