import { AppError } from '../common/app-error.js';
import { Secret } from '../common/secret.js';

/** The credential a request carries, not yet judged. */
export type PresentedCredential =
  | { readonly kind: 'api_key'; readonly secret: Secret }
  | { readonly kind: 'access_token'; readonly token: string };

interface CredentialHeaders {
  readonly authorization?: string | undefined;
  readonly 'x-api-key'?: string | string[] | undefined;
}

/** Whether a request carries anything that is meant as a credential. */
export function presentsCredential({ authorization, 'x-api-key': apiKey }: CredentialHeaders): boolean {
  return authorization !== undefined || apiKey !== undefined;
}

/**
 * Reads `Authorization: Bearer …` and `X-API-Key: …`. A bearer token that begins with one of our key prefixes is
 * an API key, any other is an access token.
 * @throws AppError `auth.credential_missing` (401), `auth.credential_ambiguous` (400) or `auth.credential_invalid` (401)
 */
export function presentedCredential(
  headers: CredentialHeaders,
  apiKeyPrefixes: readonly string[],
): PresentedCredential {
  const { authorization, 'x-api-key': apiKey } = headers;
  if (authorization !== undefined && apiKey !== undefined) {
    throw new AppError('auth.credential_ambiguous', 'Send either Authorization or X-API-Key, not both.');
  }
  if (apiKey !== undefined) return { kind: 'api_key', secret: new Secret(String(apiKey)) };
  if (authorization === undefined) {
    throw new AppError(
      'auth.credential_missing',
      'Send an access token (Authorization: Bearer …) or an API key (X-API-Key: …).',
    );
  }
  const token = /^Bearer +(\S+) *$/i.exec(authorization)?.[1];
  if (token === undefined)
    throw new AppError('auth.credential_invalid', 'The Authorization header must be "Bearer <token>".');
  const isApiKey = apiKeyPrefixes.some((prefix) => token.startsWith(prefix));
  return isApiKey ? { kind: 'api_key', secret: new Secret(token) } : { kind: 'access_token', token };
}
