import { createHmac } from 'node:crypto';
import { Injectable } from '@nestjs/common';
import { Config } from '../config/config.js';

/** What may be stored of a name from a login attempt: the name when a user has it, else its digest. */
export type KeptName =
  { readonly username: string } | { readonly username_digest: string } | Readonly<Record<string, never>>;

const DIGEST_LENGTH = 22;

/**
 * Digests of names that were typed as usernames. People type passwords there, so a name that no user has is never
 * stored or logged in clear. The digest is HMAC-SHA-256, cut to 132 bits, under a key derived from the current pepper: without
 * the pepper passwords cannot be tried against it, and the same name has the same digest on every instance.
 */
@Injectable()
export class LoginNames {
  readonly #key: Buffer;

  constructor(config: Config) {
    const [pepper] = config.apiKeyPeppers;
    if (pepper === undefined) throw new Error('There is no pepper.');
    this.#key = createHmac('sha256', pepper.secret.reveal()).update('latchkey: names of logins').digest();
  }

  /** 22 characters of base64url. */
  digestOf(username: string): string {
    return createHmac('sha256', this.#key).update(username).digest('base64url').slice(0, DIGEST_LENGTH);
  }

  kept(username: string, isKnown: boolean): KeptName {
    return isKnown ? { username } : { username_digest: this.digestOf(username) };
  }
}
