import { createHash, createHmac } from 'node:crypto';
import { Injectable } from '@nestjs/common';
import { Config, type Pepper } from '../config/config.js';

/** What is stored of a secret: HMAC-SHA-256 under a pepper, 32 bytes, and the pepper's version. */
export interface SecretDigest {
  readonly digest: Buffer;
  readonly pepperVersion: number;
}

/**
 * The id by which a secret is named on the wire: the first 8 bytes of the SHA-256 of its digest, in hex. It needs no
 * column of its own, and says nothing of the secret to anyone without the pepper.
 */
export function secretIdOf({ digest }: SecretDigest): string {
  return createHash('sha256').update(digest).digest('hex').slice(0, 16);
}

/** Makes the keyed digests by which secrets are found. */
@Injectable()
export class SecretDigests {
  readonly #peppers: readonly Pepper[];

  constructor(config: Config) {
    this.#peppers = config.apiKeyPeppers;
  }

  /** The digest under the current pepper, for a new secret. */
  current(secret: string): SecretDigest {
    const [pepper] = this.#peppers;
    if (pepper === undefined) throw new Error('There is no pepper.');
    return digestUnder(pepper, secret);
  }

  /** The digests under every active pepper: a secret made before a rotation is found under the former one. */
  candidates(secret: string): Buffer[] {
    return this.#peppers.map((pepper) => digestUnder(pepper, secret).digest);
  }
}

function digestUnder(pepper: Pepper, secret: string): SecretDigest {
  const digest = createHmac('sha256', pepper.secret.reveal()).update(secret).digest();
  return { digest, pepperVersion: pepper.version };
}
