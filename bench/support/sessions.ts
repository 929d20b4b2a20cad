import { SEEDED_PASSWORD } from './api-key-seed.js';
import type { ServerProcess } from './server-process.js';

/** A login session with Latchkey. */
export interface BenchSession {
  readonly accessToken: string;
  readonly sessionId: string;
  readonly userId: string;
}

/** Logs a seeded user in. */
export async function logIn(latchkey: ServerProcess, username: string): Promise<BenchSession> {
  const response = await fetch(`http://127.0.0.1:${latchkey.port}/api/v1/auth/login`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ username, password: SEEDED_PASSWORD }),
  });
  const text = await response.text();
  if (!response.ok) throw new Error(`${username} could not log in: ${text}`);
  const { access_token: accessToken } = JSON.parse(text) as { access_token: string };
  const payload = Buffer.from(accessToken.split('.')[1] ?? '', 'base64url').toString('utf8');
  const { sid: sessionId, sub: userId } = JSON.parse(payload) as { sid: string; sub: string };
  return { accessToken, sessionId, userId };
}
