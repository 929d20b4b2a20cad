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
 * Sessions of access tokens whose signature and claims were verified before, until the tokens expire: the same bytes
 * give the same result again. Whether the session still lives is not remembered; it is read with every request.
 */
export class VerifiedTokenCache {
  readonly #tokens = new LRUCache<string, VerifiedToken>({ max: MOST_TOKENS });

  /** Undefined for a token that has yet to be verified, or has expired. */
  find(token: string): VerifiedToken | undefined {
    const verified = this.#tokens.get(fingerprint(token));
    // The clock of the library that verifies tokens, not ours.
    return verified !== undefined && verified.expiresAtMs > Date.now() ? verified : undefined;
  }

  /** Call it once the whole token was verified. */
  keep(token: string, userId: number, sessionId: string): void {
    this.#tokens.set(fingerprint(token), { sessionId, userId, expiresAtMs: expiryOf(token) });
  }
}

/** What a token is remembered by; the token itself is never kept. */
export function fingerprint(token: string): string {
  return hash('sha256', token, 'binary');
}

/** When a token that was verified expires, in Unix milliseconds. */
export function expiryOf(token: string): number {
  const { exp } = JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString('utf8')) as {
    exp: number;
  };
  return exp * 1000;
}
