import { platformScopes, requireHeld } from '../auth/access.policy.js';
import type { Principal } from '../auth/principal.js';
import {
  DEFAULT_SCOPE,
  type OwnedThing,
  requireHeldForService,
  requireHeldIn,
} from '../auth/scope.policy.js';
import type { OwnerKind } from './api-key.js';

/**
 * Who gives somebody a key, or a secret of one, must hold what the key may do on this service wherever it may do that: in its
 * project, for a service account the data plane in its organization, and everywhere for a person in the default organization.
 * @throws AppError `permission.denied` naming the permissions that are lacking
 */
export function requireKeyHeld(
  principal: Principal,
  key: OwnedThing & { readonly ownerKind: OwnerKind },
  scopes: readonly string[],
): void {
  const permissions = platformScopes(scopes);
  if (key.ownerKind === 'service') {
    requireHeldForService(principal, key, permissions);
    return;
  }
  requireHeldIn(principal, key, permissions);
  // What somebody's own keys may do everywhere, they may as well.
  const actsEverywhere = key.organizationId === DEFAULT_SCOPE.organizationId;
  if (actsEverywhere && key.userId !== principal.userId) requireHeld(principal, permissions);
}
