import type { RateLimitPolicy } from '../rate-limits/rate-windows.policy.js';
import type { AddressMatcher, NameMatcher } from './matchers.js';

/** What a key may do, by its own policy or by those of its whole line together. */
export interface KeyRestrictions {
  readonly apiKeyId: number;
  /** Of its policy; grows with every change. */
  readonly version: number;
  readonly isActive: boolean;
  /** Unix milliseconds; infinite when the key never expires. */
  readonly expiresAtMs: number;
  readonly scopes: readonly string[];
  readonly addresses: AddressMatcher | undefined;
  readonly models: NameMatcher | undefined;
  readonly chatbots: NameMatcher | undefined;
  /** Those of this very key. */
  readonly rateLimits: RateLimitPolicy;
}

/**
 * A cached key with its owner, as a verdict judges it; immutable, a newer one replaces it. The restrictions of a key that
 * was created by another key are what the whole line allows.
 */
export interface CachedKey extends KeyRestrictions {
  readonly name: string;
  readonly userId: number;
  readonly username: string;
  readonly role: string;
  readonly isOwnerActive: boolean;
  /** When this secret ends, in Unix milliseconds; infinite for the current one. */
  readonly retiresAtMs: number;
  /** The stored digest of the secret, one character a byte. */
  readonly secretDigest: string;
  readonly createdAtMs: number;
  readonly tags: readonly string[];
  /** What the owner and the scopes both allow on this service itself. */
  readonly permissions: readonly string[];
  /** The key by its own policy and then what it came from, nearest first; undefined for one that a person created. */
  readonly line: readonly KeyRestrictions[] | undefined;
  /** Whether a limit binds the key, its own or that of an account above it. */
  readonly hasBudget: boolean;
}
