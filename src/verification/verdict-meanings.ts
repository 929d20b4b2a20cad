import { byNameRefusal } from './named-restrictions.js';
import type { VerdictCode } from './verdict.js';

/** What each code of a verdict means, in a sentence, for documents. */
export const VERDICT_MEANINGS: Readonly<Record<VerdictCode, string>> = {
  NOT_FOUND: 'No key has this secret: it is misspelled, its key was deleted, or its grace period is over.',
  DISABLED: 'The key, or a key that it descends from, is deactivated, or its owner is disabled.',
  EXPIRED: '`expires_at` of the key, or of a key that it descends from, has passed.',
  POLICY_VIOLATION:
    'The key breaks a rule of the policy of its organization or project, which is enforced for all keys.',
  IP_NOT_ALLOWED: 'The key has `allowed_ips`, and `ip` is in none of them or was not sent.',
  ...byNameRefusal(
    ({ input, field }) => `The key has \`${field}\`, and \`${input}\` matches none of them or was not sent.`,
  ),
  INSUFFICIENT_SCOPE: 'The key lacks one of the `scopes` of the request.',
  BUDGET_EXCEEDED: 'The budget of the key has nothing left, or not enough for `hold_cents`.',
  RATE_LIMITED: 'A rate limit of the key has no room for `cost`.',
  VALID: 'The key may do this now. `cost` has been counted in its rate limits.',
};
