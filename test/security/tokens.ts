import { createHmac } from 'node:crypto';
import type { ApiClient } from '../support/api-client.js';
import { type TestApp, testEnvironment, USER_PASSWORD } from '../support/test-app.js';

/** The tokens of one login. */
export interface TestSession {
  readonly accessToken: string;
  readonly refreshToken: string;
  readonly client: ApiClient;
}

/** The secret that every application under test signs with. */
export const JWT_SECRET = testEnvironment('')['JWT_SECRET']!;

/** The header of every token that the service makes. */
export const HEADER = { alg: 'HS256', typ: 'JWT' } as const;

/** Logs in and keeps the tokens, which `TestUser` does not show. */
export async function openSession(
  app: TestApp,
  username: string,
  password: string = USER_PASSWORD,
): Promise<TestSession> {
  const { status, body, text } = await app.anonymous.post('/auth/login', { username, password });
  if (status !== 200) throw new Error(`The login failed: ${text}`);
  const accessToken: string = body['access_token'];
  return {
    accessToken,
    refreshToken: body['refresh_token'],
    client: app.anonymous.withAccessToken(accessToken),
  };
}

/** The claims of a token. */
export function claimsOf(token: string): Record<string, unknown> {
  return JSON.parse(Buffer.from(token.split('.')[1]!, 'base64url').toString('utf8')) as Record<
    string,
    unknown
  >;
}

/** One part of a token: JSON in base64url. */
export function encoded(value: unknown): string {
  return Buffer.from(JSON.stringify(value)).toString('base64url');
}

/** A token of any header and claims, signed with HMAC. */
export function forged(
  header: unknown,
  claims: unknown,
  secret: string | Buffer = JWT_SECRET,
  hash = 'sha256',
): string {
  const content = `${encoded(header)}.${encoded(claims)}`;
  return `${content}.${createHmac(hash, secret).update(content).digest('base64url')}`;
}

/** The moment in Unix seconds that lies so many seconds ahead. */
export function secondsAhead(seconds: number): number {
  return Math.floor(Date.now() / 1000) + seconds;
}
