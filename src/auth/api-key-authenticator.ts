import type { Secret } from '../common/secret.js';
import type { Principal } from './principal.js';

/** Port: turns an API key used as a credential into its principal. The module of the keys implements it. */
export abstract class ApiKeyAuthenticator {
  /**
   * Reads the database, on no connection of the control plane. Undefined when the key is unknown, inactive, or not allowed from
   * this address.
   */
  abstract authenticate(secret: Secret, clientAddress: string | undefined): Promise<Principal | undefined>;

  /** From memory, within the bound of the change feed; at once when it is there. The address is asked for only where it matters. */
  abstract authenticateFromMemory(
    secret: Secret,
    clientAddress: () => string | undefined,
  ): Principal | undefined | Promise<Principal | undefined>;
}
