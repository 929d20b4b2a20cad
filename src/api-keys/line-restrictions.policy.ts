import { coversScope } from './lineage.policy.js';
import { commonAddresses, commonNames } from './matchers.js';
import type { KeyRestrictions } from './snapshot.js';

/**
 * What a key may do within all that it came from: it is alive while they all are, and a request must be allowed by each.
 * Rate limits stay its own, since each key of the line counts for itself.
 */
export function withinAncestors(
  own: KeyRestrictions,
  ancestors: readonly KeyRestrictions[],
): KeyRestrictions {
  return ancestors.reduce(
    (inner, outer) => ({
      apiKeyId: own.apiKeyId,
      version: own.version,
      isActive: inner.isActive && outer.isActive,
      expiresAtMs: Math.min(inner.expiresAtMs, outer.expiresAtMs),
      scopes: inner.scopes.filter((scope) => coversScope(outer.scopes, scope)),
      addresses: commonAddresses(inner.addresses, outer.addresses),
      models: commonNames(inner.models, outer.models),
      chatbots: commonNames(inner.chatbots, outer.chatbots),
      rateLimits: own.rateLimits,
    }),
    own,
  );
}
