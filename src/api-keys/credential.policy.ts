import { addressList, isListed } from '../http/client-address.js';

/** What is known of a key that is used as a credential. */
export interface CredentialFacts {
  readonly isActive: boolean;
  readonly isOwnerActive: boolean;
  readonly expiresAt: Date | null;
  /** When this secret ends, for a former one. */
  readonly retiresAt: Date | null;
  readonly allowedIps: readonly string[];
}

/** A credential is judged like any key: state, owner, expiry, address. An unknown address is not an allowed one. */
export function isCredentialUsable(
  facts: CredentialFacts,
  clientAddress: string | undefined,
  now: Date,
): boolean {
  const { isActive, isOwnerActive, expiresAt, retiresAt, allowedIps } = facts;
  if (!isActive || !isOwnerActive) return false;
  if ((expiresAt !== null && expiresAt <= now) || (retiresAt !== null && retiresAt <= now)) return false;
  if (allowedIps.length === 0) return true;
  return clientAddress !== undefined && isListed(addressList(allowedIps), clientAddress);
}
