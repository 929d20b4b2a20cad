import type { AddressMatcher, NameMatcher } from './matchers.js';

/** Requests in any minute, hour and day; null for no limit. */
export interface SnapshotRateLimits {
  readonly perMinute: number | null;
  readonly perHour: number | null;
  readonly perDay: number | null;
}

/** What is known of a key and its owner when it is judged; it never changes, a newer one replaces it. */
export interface KeySnapshot {
  readonly apiKeyId: number;
  readonly name: string;
  readonly userId: number;
  readonly username: string;
  readonly role: string;
  readonly isActive: boolean;
  readonly isOwnerActive: boolean;
  /** Unix milliseconds; infinite when the key never expires. */
  readonly expiresAtMs: number;
  /** When this secret ends, in Unix milliseconds; infinite for the current one. */
  readonly retiresAtMs: number;
  readonly createdAtMs: number;
  readonly scopes: readonly string[];
  readonly tags: readonly string[];
  /** What the owner and the scopes both allow on this service itself. */
  readonly permissions: readonly string[];
  readonly addresses: AddressMatcher | undefined;
  readonly models: NameMatcher | undefined;
  readonly chatbots: NameMatcher | undefined;
  readonly rateLimits: SnapshotRateLimits;
  /** Whether a limit binds the key, its own or that of an account above it. */
  readonly hasBudget: boolean;
}
