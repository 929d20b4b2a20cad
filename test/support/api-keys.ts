import { expect } from 'vitest';
import type { ApiAnswer } from './api-client.js';
import type { TestApp, TestApiKey, TestUser } from './test-app.js';

/** An ISO 8601 timestamp in UTC, as the API writes every one. */
export const UTC_TIMESTAMP = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/;

/** The whole body of a key that nothing was asked of but a name, with `fields` in place of the defaults. */
export function apiKeyBody(fields: Record<string, unknown>): Record<string, unknown> {
  return {
    id: expect.any(Number),
    user_id: expect.any(Number),
    owner_kind: 'person',
    organization_id: 1,
    project_id: 1,
    parent_key_id: null,
    name: 'A key',
    description: null,
    key_prefix: expect.stringMatching(/^en_[0-9A-Za-z]{5}$/),
    scopes: [],
    is_active: true,
    expires_at: null,
    created_at: expect.stringMatching(UTC_TIMESTAMP),
    updated_at: expect.stringMatching(UTC_TIMESTAMP),
    last_used_at: null,
    rate_limit_per_minute: null,
    rate_limit_per_hour: null,
    rate_limit_per_day: null,
    allowed_ips: [],
    allowed_models: [],
    allowed_chatbots: [],
    is_unlimited: true,
    budget_limit_cents: null,
    budget_type: null,
    tags: [],
    total_requests: 0,
    total_requests_decimal: '0',
    total_tokens: 0,
    total_tokens_decimal: '0',
    total_cost_cents: 0,
    total_cost_cents_decimal: '0.000000',
    state: 'active',
    inactive_reason: null,
    secrets: [currentSecretBody()],
    ...fields,
  };
}

/** The current secret of a key as the API shows it; by default one that was never used. */
export function currentSecretBody(fields: Record<string, unknown> = {}): Record<string, unknown> {
  return {
    id: expect.stringMatching(/^[0-9a-f]{16}$/),
    key_prefix: expect.stringMatching(/^en_[0-9A-Za-z]{5}$/),
    created_at: expect.stringMatching(UTC_TIMESTAMP),
    last_used_at: null,
    retires_at: null,
    ...fields,
  };
}

/** A user who may do nothing but own keys, and keys of theirs, of which `key` is the first. */
export async function ownerOfKeys(
  app: TestApp,
  count: number,
  fields: Record<string, unknown> = {},
): Promise<{ owner: TestUser; keys: TestApiKey[]; key: TestApiKey }> {
  const owner = await app.user({ permissions: ['platform:*'] });
  const keys = await Promise.all(Array.from({ length: count }, () => app.apiKey(owner.client, fields)));
  await setPermissions(app, owner, []);
  const [key] = keys;
  if (key === undefined) throw new Error('Ask for one key at least.');
  return { owner, keys, key };
}

/** Replaces what the user may do beyond their role, from their next request on. */
export async function setPermissions(app: TestApp, user: TestUser, permissions: string[]): Promise<void> {
  const answer = await app.admin.put(`/users/${user.id}`, { permissions });
  expect(answer.status).toBe(200);
}

/**
 * Sends a request again for as long as the service is too busy for it: on a slow machine, one of many changes of the
 * same key may wait longer for its turn than the service lets it. Such a 503 says that nothing was done or decided.
 */
export async function untilAnswered(send: () => Promise<ApiAnswer>): Promise<ApiAnswer> {
  for (;;) {
    const answer = await send();
    if (answer.status !== 503) return answer;
    expect(answer.headers.get('retry-after')).toMatch(/^\d+$/);
  }
}

/** Whether a secret is accepted as a credential now. */
export async function isAccepted(app: TestApp, secret: string): Promise<boolean> {
  const { status } = await untilAnswered(() => app.anonymous.withApiKey(secret).get('/auth/me'));
  expect([200, 401]).toContain(status);
  return status === 200;
}

/** The rows of a key, as they are stored. */
export async function storedKey(app: TestApp, apiKeyId: number): Promise<unknown> {
  const [keys, secrets] = await Promise.all([
    app.database.query('SELECT * FROM api_keys WHERE id = $1', [apiKeyId]),
    app.database.query(
      `SELECT encode(digest, 'hex') AS digest, retires_at FROM api_key_secrets WHERE api_key_id = $1
       ORDER BY digest`,
      [apiKeyId],
    ),
  ]);
  return { keys, secrets };
}
