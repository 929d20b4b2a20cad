import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { checksumOf } from '../../src/api-keys/secret-format.js';
import { apiKeyBody, isAccepted } from '../support/api-keys.js';
import { expectOneAuditRow } from '../support/audit-trail.js';
import { expectInvalid } from '../support/problems.js';
import { TestApp, type TestUser } from '../support/test-app.js';

const EVERYTHING = {
  name: 'Everything',
  description: 'All that can be set',
  scopes: ['app:read', 'platform:api-keys:read'],
  expires_at: '2999-01-01T00:00:00.000Z',
  rate_limit_per_minute: 10,
  rate_limit_per_hour: 100,
  rate_limit_per_day: 1000,
  allowed_ips: ['192.0.2.0/24'],
  allowed_models: ['gpt-4*'],
  allowed_chatbots: ['support'],
  is_unlimited: false,
  budget_limit_cents: 12_345,
  budget_type: 'monthly',
  tags: ['production'],
};
const WHILE_UNLIMITED = 'must not be set while is_unlimited is true';
const REQUIRED = 'is required when is_unlimited is false';

describe('POST /api-keys', () => {
  let app: TestApp;
  let developer: TestUser;
  beforeAll(async () => {
    app = await TestApp.start();
    developer = await app.user({ role: 'developer' });
  });
  afterAll(() => app.stop());

  it('makes a key of the caller with the defaults of the seed and shows its secret', async () => {
    const answer = await developer.client.post('/api-keys', { name: 'A key' });
    expect(answer.status).toBe(201);
    expect(answer.headers.get('content-type')).toBe('application/json; charset=utf-8');
    expect(answer.headers.get('cache-control')).toBe('no-store');
    expect(answer.headers.get('idempotency-replayed')).toBeNull();
    expect(answer.body).toStrictEqual({
      api_key: apiKeyBody({ user_id: developer.id }),
      secret_key: expect.stringMatching(/^en_[0-9A-Za-z]{38}$/),
    });
    expect(Object.keys(answer.body['api_key'])).toEqual(Object.keys(apiKeyBody({})));
    const secret: string = answer.body['secret_key'];
    expect(answer.body['api_key'].key_prefix).toBe(secret.slice(0, 8));
    expect(secret.slice(-6)).toBe(checksumOf(secret.slice(0, -6)));
    expect(await isAccepted(app, secret)).toBe(true);
  });

  it('keeps every field as it was sent', async () => {
    const { status, body } = await app.admin.post('/api-keys', EVERYTHING);
    expect(status).toBe(201);
    expect(body['api_key']).toStrictEqual(apiKeyBody(EVERYTHING));
    const read = await app.admin.get(`/api-keys/${String(body['api_key'].id)}`);
    expect(read.body).toStrictEqual(body['api_key']);
  });

  it('never shows the secret again', async () => {
    const { id, secret } = await app.apiKey(developer.client);
    const { client } = developer;
    const answers = [
      await client.get(`/api-keys/${id}`),
      await client.get('/api-keys'),
      await client.put(`/api-keys/${id}`, { name: 'Renamed' }),
      await client.get(`/api-keys/${id}/usage`),
      await client.post(`/api-keys/${id}/deactivate`),
      await client.post(`/api-keys/${id}/activate`),
      await client.post(`/api-keys/${id}/regenerate`),
      await client.delete(`/api-keys/${id}`),
      await app.admin.get('/audit-logs?resource_type=api_key'),
    ];
    for (const answer of answers) {
      expect(answer.status).toBe(200);
      expect(answer.text).not.toContain(secret);
    }
  });

  it('leaves one audit row with the name and the scopes', async () => {
    const answer = await developer.client.post('/api-keys', { name: 'Traced', scopes: ['app:read'] });
    await expectOneAuditRow(app.database, answer, {
      action: 'create_api_key',
      resource_type: 'api_key',
      resource_id: String(answer.body['api_key'].id),
      user_id: developer.id,
      details: { name: 'Traced', scopes: ['app:read'] },
    });
  });

  it('refuses a secret that a caller put into a name or a list, and says where', async () => {
    const { secret } = await app.apiKey();
    const fields = { name: `for ${secret}!`, scopes: ['app:read', secret], tags: ['x', 'x', secret] };
    expectInvalid(
      await app.admin.post('/api-keys', fields),
      { field: 'name', message: 'must not hold a secret, such as an API key or a token' },
      { field: 'scopes', message: 'entry 1 must not hold a secret, such as an API key or a token' },
      { field: 'tags', message: 'must not repeat an entry' },
    );
  });

  it('made with an API key belongs to the owner of that key', async () => {
    const { id, secret } = await app.apiKey(developer.client, { scopes: ['platform:api-keys:create'] });
    const answer = await app.anonymous.withApiKey(secret).post('/api-keys', { name: 'Made by a key' });
    expect(answer.status).toBe(201);
    expect(answer.body['api_key'].user_id).toBe(developer.id);
    await expectOneAuditRow(app.database, answer, { user_id: developer.id, api_key_id: id });
  });

  it('needs a name', async () => {
    expectInvalid(await app.admin.post('/api-keys', {}), { field: 'name', message: 'is required' });
    expectInvalid(await app.admin.post('/api-keys'), { field: 'name', message: 'is required' });
    expectInvalid(await app.admin.send('POST', '/api-keys', { rawBody: 'null' }), {
      field: 'name',
      message: 'is required',
    });
  });

  it('does not take is_active: a key begins active', async () => {
    const answer = await app.admin.post('/api-keys', { name: 'A key', is_active: false });
    expectInvalid(answer, { field: 'is_active', message: 'is not a known property' });
  });

  it.each([
    [
      { is_unlimited: false, budget_limit_cents: 0 },
      { budget_limit_cents: 0, budget_type: 'total' },
    ],
    [{ is_unlimited: false, budget_limit_cents: 5, budget_type: null }, { budget_type: 'total' }],
    [{ is_unlimited: false, budget_limit_cents: 5, budget_type: 'monthly' }, { budget_type: 'monthly' }],
    [{ is_unlimited: true, budget_limit_cents: null, budget_type: null }, { budget_limit_cents: null }],
  ])('accepts the budget %j', async (budget, expected) => {
    const { body } = await app.apiKey(app.admin, budget);
    expect(body).toMatchObject(expected);
  });

  it.each([
    [{ budget_limit_cents: 5 }, [['budget_limit_cents', WHILE_UNLIMITED]]],
    [{ budget_type: 'total' }, [['budget_type', WHILE_UNLIMITED]]],
    [
      { is_unlimited: true, budget_limit_cents: 0, budget_type: 'monthly' },
      [
        ['budget_limit_cents', WHILE_UNLIMITED],
        ['budget_type', WHILE_UNLIMITED],
      ],
    ],
    [{ is_unlimited: false }, [['budget_limit_cents', REQUIRED]]],
    [{ is_unlimited: false, budget_limit_cents: null }, [['budget_limit_cents', REQUIRED]]],
    [{ is_unlimited: false, budget_type: 'monthly' }, [['budget_limit_cents', REQUIRED]]],
  ])('refuses the budget %j', async (budget, errors) => {
    const answer = await app.admin.post('/api-keys', { name: 'A key', ...budget });
    expectInvalid(answer, ...errors.map(([field = '', message]) => ({ field, message })));
  });

  it('judges the expiry and dates the key by its clock, in UTC', async () => {
    app.clock.advanceSeconds(86_400);
    const inAnHour = new Date(app.clock.now().getTime() + 3_600_000).toISOString();
    const lately = new Date(app.clock.now().getTime() - 1_000).toISOString();
    const before = app.clock.now().getTime();
    const { body } = await app.apiKey(app.admin, { expires_at: inAnHour });
    expect(body['expires_at']).toBe(inAnHour);
    expect(Date.parse(body['created_at'])).toBeGreaterThanOrEqual(before);
    expect(Date.parse(body['created_at'])).toBeLessThanOrEqual(app.clock.now().getTime());
    expect(body['updated_at']).toBe(body['created_at']);
    expectInvalid(await app.admin.post('/api-keys', { name: 'A key', expires_at: lately }), {
      field: 'expires_at',
      message: 'must lie in the future',
    });
  });
});
