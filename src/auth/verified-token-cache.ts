import { hash } from 'node:crypto';
import { LRUCache } from 'lru-cache';

/** The session that an access token was signed for. */
interface VerifiedToken {
  readonly sessionId: string;
  readonly userId: number;
  readonly expiresAtMs: number;
}

const MOST_TOKENS = 10_000;

/**
 * Sessions of access tokens whose signature and claims were proved before, until the tokens expire: the same bytes
 * prove the same again. Whether the session still lives is not remembered; it is read with every request.
 */
export class VerifiedTokenCache {
  readonly #tokens = new LRUCache<string, VerifiedToken>({ max: MOST_TOKENS });

  /** Undefined for a token that has yet to be proved, or has expired. */
  find(token: string): VerifiedToken | undefined {
    const proven = this.#tokens.get(fingerprint(token));
    // The clock of the library that proves tokens, not ours.
    return proven !== undefined && proven.expiresAtMs > Date.now() ? proven : undefined;
  }

  /** Call it once the whole token was proved. */
  keep(token: string, userId: number, sessionId: string): void {
    this.#tokens.set(fingerprint(token), { sessionId, userId, expiresAtMs: expiryOf(token) });
  }
}

/** What a token is remembered by; the token itself is never kept. */
export function fingerprint(token: string): string {
  return hash('sha256', token, 'binary');
}

/** When a token that was proved expires, in Unix milliseconds. */
export function expiryOf(token: string): number {
  const { exp } = JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString('utf8')) as {
    exp: number;
  };
  return exp * 1000;
}
