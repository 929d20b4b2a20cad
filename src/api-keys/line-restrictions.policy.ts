import { coversScope } from './lineage.policy.js';
import { commonAddresses, commonNames } from './matchers.js';
import type { KeyRestrictions } from './cached-key.js';

/**
 * What a key may do within its ancestors: it is valid while they all are, and each of them must allow a request.
 * Rate limits stay its own, since each key of the line has its own windows.
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
