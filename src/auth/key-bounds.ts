import type { Principal } from './principal.js';

/** Port: what binds a caller that is an API key beyond its permissions. The room of the keys implements it. */
export abstract class KeyBounds {
  /**
   * A user is held to none of the restrictions of keys, nor is what they make: only a key without any gives a user
   * something. A person always may.
   * @throws AppError `permission.denied` naming the restrictions
   */
  abstract requireUnbound(principal: Principal): Promise<void>;
}
