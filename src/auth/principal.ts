import type { Actor } from '../context/request-context.js';

/** The policy of a key as it stood. */
export interface KeyVersion {
  readonly apiKeyId: number;
  readonly version: number;
}

/** What the caller was authenticated with. */
export type Credential =
  /** `expiresAtMs` is when the session ends unless it is refreshed. */
  | { readonly kind: 'session'; readonly sessionId: string; readonly expiresAtMs: number }
  | {
      readonly kind: 'api_key';
      readonly apiKeyId: number;
      /** Whether its secret is a former one, in its grace period. */
      readonly isRetiring: boolean;
      /** The key and what it came from, itself first: it may do what all of them allow. */
      readonly line: readonly KeyVersion[];
    };

/** Who is calling and what they may do now: read from the store for each request, never from an old token. */
export interface Principal {
  readonly userId: number;
  readonly username: string;
  readonly role: string;
  readonly permissions: readonly string[];
  readonly credential: Credential;
}

/** The principal as an audit row names it. */
export function actorOf({ userId, credential }: Principal): Actor {
  return { userId, apiKeyId: credential.kind === 'api_key' ? credential.apiKeyId : null };
}

/** The keys that the authority of a principal rests on. */
export function keysOf({ credential }: Principal): number[] {
  return credential.kind === 'api_key' ? credential.line.map(({ apiKeyId }) => apiKeyId) : [];
}
