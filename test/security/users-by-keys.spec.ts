import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { ApiClient } from '../support/api-client.js';
import { isAccepted } from '../support/api-keys.js';
import { expectProblem } from '../support/problems.js';
import { TestApp, USER_PASSWORD } from '../support/test-app.js';

const SCOPES = [
  'platform:users:create',
  'platform:users:update',
  'platform:users:delete',
  'platform:api-keys:create',
  'platform:api-keys:update',
];
const GIVEN = ['platform:api-keys:create'];
/** Each restriction of a key by itself. */
const RESTRICTIONS = [
  ['expires_at', { expires_at: '2999-01-01T00:00:00.000Z' }],
  ['rate_limit_per_minute', { rate_limit_per_minute: 10_000 }],
  ['rate_limit_per_hour', { rate_limit_per_hour: 100_000 }],
  ['rate_limit_per_day', { rate_limit_per_day: 1_000_000 }],
  ['allowed_ips', { allowed_ips: ['127.0.0.0/8'] }],
  ['allowed_models', { allowed_models: ['*'] }],
  ['allowed_chatbots', { allowed_chatbots: ['*'] }],
  ['is_unlimited', { is_unlimited: false, budget_limit_cents: 1_000_000 }],
] as const;
const RETIRING = 'A secret in its grace period cannot give anyone another secret.';

describe('a key that is bound', () => {
  let app: TestApp;
  beforeAll(async () => {
    app = await TestApp.start();
  });
  afterAll(() => app.stop());

  let made = 0;
  const newUser = (permissions: readonly string[], role = 'user') => ({
    username: `made-${(made += 1)}`,
    password: USER_PASSWORD,
    permissions,
    role,
  });

  async function keyWith(fields: object): Promise<ApiClient> {
    const { secret } = await app.apiKey(app.admin, { scopes: SCOPES, ...fields });
    return app.anonymous.withApiKey(secret);
  }

  /** Every way in which a user is given something. */
  async function gifts(caller: ApiClient) {
    const [plain, disabled, other] = [await app.user(), await app.user(), await app.user()];
    expect((await app.admin.put(`/users/${disabled.id}`, { is_active: false })).status).toBe(200);
    return [
      await caller.post('/users', newUser(GIVEN)),
      await caller.put(`/users/${plain.id}`, { permissions: GIVEN }),
      await caller.put(`/users/${disabled.id}`, { is_active: true }),
      await caller.put(`/users/${other.id}/password`, { new_password: 'another long passphrase' }),
    ];
  }

  it.each(RESTRICTIONS)(
    'by %s gives no user what it may do: they would be held to none of it',
    async (field, fields) => {
      for (const answer of await gifts(await keyWith(fields))) {
        const rule = 'An API key cannot make a user more than it is itself';
        expectProblem(answer, 'permission.denied', `${rule}: ${field}.`);
      }
    },
  );

  it('never says whether a password is that of its owner, and tries none', async () => {
    const owner = await app.user({ permissions: ['platform:users:update', 'platform:api-keys:create'] });
    const { secret } = await app.apiKey(owner.client, {
      scopes: ['platform:users:update'],
      allowed_ips: ['127.0.0.0/8'],
    });
    const bound = app.anonymous.withApiKey(secret);
    for (const current_password of ['a wrong passphrase', USER_PASSWORD]) {
      const body = { current_password, new_password: 'another long passphrase' };
      expectProblem(await bound.put(`/users/${owner.id}/password`, body), 'permission.denied');
    }
    const tried = await app.database.query(
      `SELECT FROM audit_logs WHERE action = 'set_user_password' AND details->>'reason' = 'credentials' AND user_id = $1`,
      [owner.id],
    );
    expect(tried).toEqual([]);
  });

  it('by what its parent is bound by gives none either, whatever was loosened below it', async () => {
    const parent = await app.apiKey(app.admin, { scopes: SCOPES, allowed_models: ['gpt-*'] });
    const child = await app.apiKey(app.anonymous.withApiKey(parent.secret), { scopes: SCOPES });
    await app.database.query(`UPDATE api_keys SET allowed_models = '{}' WHERE id = $1`, [child.id]);
    for (const answer of await gifts(app.anonymous.withApiKey(child.secret)))
      expectProblem(answer, 'permission.denied');
  });

  it('may make users who may do nothing, and take from others what they have', async () => {
    const caller = await keyWith({ expires_at: '2999-01-01T00:00:00.000Z' });
    expect((await caller.post('/users', newUser([]))).status).toBe(201);
    const { id } = await app.user({ permissions: GIVEN });
    for (const fields of [{ permissions: [] }, { is_active: false }])
      expect((await caller.put(`/users/${id}`, fields)).status).toBe(200);
    expect((await caller.delete(`/users/${id}`)).status).toBe(200);
  });

  it('by nothing gives users what it holds', async () => {
    const answers = await gifts(await keyWith({}));
    expect(answers.map(({ status }) => status)).toEqual([201, 200, 200, 200]);
  });
});

describe('a secret in its grace period', () => {
  let app: TestApp;
  beforeAll(async () => {
    app = await TestApp.start();
  });
  afterAll(() => app.stop());

  it('leaves nothing behind that outlives it: no key, no other secret of any key, no user', async () => {
    const key = await app.apiKey(app.admin, { scopes: SCOPES });
    const client = app.anonymous.withApiKey(key.secret);
    const child = await app.apiKey(client, { name: 'child' });
    const stranger = await app.apiKey(app.admin, { name: 'stranger' });
    const graceful = { grace_period_seconds: 3_600 };
    expect((await app.admin.post(`/api-keys/${key.id}/regenerate`, graceful)).status).toBe(200);
    const attempts = [
      await client.post('/api-keys', { name: 'escape' }),
      await client.post(`/api-keys/${key.id}/regenerate`, graceful),
      await client.post(`/api-keys/${child.id}/regenerate`, {}),
      await client.post(`/api-keys/${stranger.id}/regenerate`, {}),
      await client.post('/users', {
        username: 'escape',
        password: USER_PASSWORD,
        permissions: GIVEN,
      }),
      await client.put(`/users/${(await app.user()).id}/password`, {
        new_password: 'another long passphrase',
      }),
    ];
    for (const answer of attempts) expectProblem(answer, 'permission.denied', RETIRING);
    for (const { secret } of [key, child, stranger]) expect(await isAccepted(app, secret)).toBe(true);
    const made = `SELECT (SELECT count(*) FROM api_keys WHERE name = 'escape') + (SELECT count(*) FROM users WHERE username = 'escape') AS made`;
    expect(await app.database.query(made)).toEqual([{ made: '0' }]);
  });
});
