import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { ApiAnswer, ApiClient } from '../support/api-client.js';
import { apiKeyBody, isAccepted } from '../support/api-keys.js';
import { expectProblem } from '../support/problems.js';
import { TestApp, type TestApiKey, type TestUser } from '../support/test-app.js';

const MANAGE = ['platform:api-keys:create', 'platform:api-keys:update', 'platform:api-keys:delete'];
const SCOPES = [...MANAGE, 'chat'];
const EXPIRY = '2999-06-30T12:00:00.000Z';

/** A parent that is restricted in every way, from an address that it may be used from. */
const PARENT = {
  scopes: SCOPES,
  expires_at: EXPIRY,
  rate_limit_per_minute: 1_000,
  rate_limit_per_hour: 10_000,
  rate_limit_per_day: 100_000,
  allowed_ips: ['127.0.0.0/8', '2001:db8::/32'],
  allowed_models: ['gpt-*', 'claude-3'],
  allowed_chatbots: ['help-*-bot'],
  is_unlimited: false,
  budget_limit_cents: 500,
  budget_type: 'total',
};

/** Of each restriction: what is within the parent's, and what is not, with the field and the rule that is told. */
const FIELDS: readonly {
  readonly within: readonly object[];
  readonly beyond: readonly (readonly [fields: object, field: string, message: string])[];
}[] = [
  {
    within: [{ scopes: [] }, { scopes: ['chat'] }, { scopes: SCOPES }],
    beyond: [[{ scopes: ['chat', 'chat:write'] }, 'scopes', 'entry 1 must be a scope of the parent key']],
  },
  {
    within: [{ expires_at: EXPIRY }, { expires_at: '2999-06-30T11:59:59.999Z' }],
    beyond: [null, '2999-06-30T12:00:00.001Z'].map((expires_at) => [
      { expires_at },
      'expires_at',
      `must be set, to ${EXPIRY} at the latest, when the parent key expires`,
    ]),
  },
  ...(['minute', 'hour', 'day'] as const).map((window) => {
    const field = `rate_limit_per_${window}` as const;
    const most = PARENT[field];
    return {
      within: [{ [field]: most }, { [field]: 1 }],
      beyond: [null, most + 1].map(
        (limit) =>
          [
            { [field]: limit },
            field,
            `must be set, to at most ${most}, the limit of the parent key`,
          ] as const,
      ),
    };
  }),
  {
    within: [
      { allowed_ips: ['127.0.0.1'] },
      { allowed_ips: ['127.0.0.0/8', '2001:db8:1::/48', '::ffff:127.1.0.0/112'] },
    ],
    beyond: [
      [{ allowed_ips: [] }, 'allowed_ips', 'must not be empty, since that of the parent key is not'],
      ...['126.0.0.0/7', '128.0.0.1', '0.0.0.0/0', '2001:db8::/31', '::/0', '::1'].map(
        (block) =>
          [
            { allowed_ips: ['127.0.0.1', block] },
            'allowed_ips',
            'entry 1 must lie within one of the parent key',
          ] as const,
      ),
    ],
  },
  {
    within: [{ allowed_models: ['claude-3'] }, { allowed_models: ['gpt-*', 'gpt-4*', 'gpt-*-mini'] }],
    beyond: [
      [{ allowed_models: [] }, 'allowed_models', 'must not be empty, since that of the parent key is not'],
      ...['gpt*', '*', 'claude-*', '*gpt-4', 'GPT-4'].map(
        (pattern) =>
          [
            { allowed_models: [pattern] },
            'allowed_models',
            'entry 0 must lie within one of the parent key',
          ] as const,
      ),
    ],
  },
  {
    within: [{ allowed_chatbots: ['help-me-bot'] }, { allowed_chatbots: ['help-*-desk-bot'] }],
    beyond: [
      [
        { allowed_chatbots: [] },
        'allowed_chatbots',
        'must not be empty, since that of the parent key is not',
      ],
      ...['help-*', '*-bot', 'help-bot'].map(
        (pattern) =>
          [
            { allowed_chatbots: [pattern] },
            'allowed_chatbots',
            'entry 0 must lie within one of the parent key',
          ] as const,
      ),
    ],
  },
  {
    within: [{ budget_limit_cents: 500 }, { budget_limit_cents: 0 }],
    beyond: [
      [{ is_unlimited: true }, 'is_unlimited', 'must be false, as the parent key has it'],
      [
        { budget_limit_cents: 501 },
        'budget_limit_cents',
        'must be at most 500, the budget of the parent key',
      ],
      [{ budget_type: 'monthly' }, 'budget_type', 'must be total, as the parent key has it'],
    ],
  },
];

describe('a key that a key creates', () => {
  let app: TestApp;
  let owner: TestUser;
  let parent: TestApiKey;
  let asParent: ApiClient;
  beforeAll(async () => {
    app = await TestApp.start();
    owner = await app.user({ role: 'developer' });
    parent = await app.apiKey(owner.client, PARENT);
    asParent = app.anonymous.withApiKey(parent.secret);
  });
  afterAll(() => app.stop());

  /** A new key of the owner, and a client that it authenticates. */
  async function keyOf(fields: object): Promise<TestApiKey & { readonly client: ApiClient }> {
    const key = await app.apiKey(owner.client, { ...fields });
    return { ...key, client: app.anonymous.withApiKey(key.secret) };
  }

  async function childOf(
    client: ApiClient,
    fields: object = {},
  ): Promise<TestApiKey & { client: ApiClient }> {
    const key = await app.apiKey(client, { ...fields });
    return { ...key, client: app.anonymous.withApiKey(key.secret) };
  }

  const rowOf = async (id: number) =>
    (await app.database.query('SELECT * FROM api_keys WHERE id = $1', [id]))[0];

  it('is its child, and shows all that binds it although nothing was asked for', async () => {
    const child = await childOf(asParent);
    const { scopes: _, ...restrictions } = PARENT;
    const body = apiKeyBody({ ...restrictions, user_id: owner.id, parent_key_id: parent.id });
    expect(child.body).toEqual(body);
    expect((await owner.client.get(`/api-keys/${child.id}`)).body).toEqual(body);
    const listed = (await owner.client.get('/api-keys?size=1')).body['api_keys'];
    expect(listed[0]).toEqual(body);
    expect(parent.body['parent_key_id']).toBeNull();
  });

  it('may be given every restriction within those of the parent', async () => {
    for (const fields of FIELDS.flatMap(({ within }) => within)) {
      const answer = await asParent.post('/api-keys', { name: 'A key', ...fields });
      expect([fields, answer.status]).toEqual([fields, 201]);
      expect(answer.body['api_key']).toMatchObject(fields);
      expect((await owner.client.put(`/api-keys/${String(answer.body['api_key'].id)}`, fields)).status).toBe(
        200,
      );
    }
  });

  it('is not created with a restriction beyond the parent, which is told by field and rule', async () => {
    const before = await count(app);
    for (const [fields, field, message] of FIELDS.flatMap(({ beyond }) => beyond)) {
      const answer = await asParent.post('/api-keys', { name: 'A key', ...fields });
      expectInvalid(answer, fields, field, message);
    }
    expect(await count(app)).toBe(before);
  });

  it('is given no restriction beyond the parent later, by whoever it is', async () => {
    const child = await childOf(asParent, { scopes: ['chat'] });
    const clients = [owner.client, app.admin, asParent];
    for (const [index, [fields, field, message]] of FIELDS.flatMap(({ beyond }) => beyond).entries()) {
      const client = clients[index % clients.length]!;
      expectInvalid(await client.put(`/api-keys/${child.id}`, fields), fields, field, message);
    }
    expect(await rowOf(child.id)).toMatchObject({ version: 1 });
  });

  it('is told all that is beyond the parent at once', async () => {
    const answer = await asParent.post('/api-keys', {
      name: 'A key',
      ...Object.assign({}, ...FIELDS.map(({ beyond }) => beyond[0]![0])),
    });
    expect(answer.status).toBe(422);
    expect(answer.body['errors'].map(({ field }: { field: string }) => field).toSorted()).toEqual(
      FIELDS.map(({ beyond }) => beyond[0]![1]).toSorted(),
    );
  });

  it('may have a narrower permission than its parent, and never a wider one', async () => {
    const wide = await keyOf({ scopes: ['platform:api-keys:*'] });
    const child = await childOf(wide.client, { scopes: ['platform:api-keys:read', 'platform:api-keys:*'] });
    const narrow = await childOf(child.client, { scopes: ['platform:api-keys:read'] });
    expect((await narrow.client.get('/auth/me')).body['permissions']).toEqual(['platform:api-keys:read']);
    const beyond = await wide.client.post('/api-keys', { name: 'A key', scopes: ['platform:*'] });
    expectProblem(beyond, 'permission.denied', 'This needs permissions that you do not hold: platform:*.');
    await owner.client.put(`/api-keys/${wide.id}`, { scopes: ['platform:api-keys:update'] });
    expect((await narrow.client.get('/auth/me')).body['permissions']).toEqual([]);
  });

  it('is made by no key whose line is 16 keys long', async () => {
    let last = await keyOf({ scopes: MANAGE });
    for (let ancestors = 1; ancestors <= 15; ancestors += 1)
      last = await childOf(last.client, { scopes: MANAGE });
    const answer = await last.client.post('/api-keys', { name: 'A key' });
    expectProblem(
      answer,
      'api_key.too_many_ancestors',
      'An API key has at most 15 ancestors; this one may create no further key.',
    );
  });

  it('ends with it, and with all that is above it, each with a row of its own in the audit log', async () => {
    const top = await keyOf({ scopes: SCOPES });
    const middle = await childOf(top.client, { scopes: SCOPES });
    const bottom = await childOf(middle.client, { scopes: SCOPES });
    const sibling = await childOf(top.client);
    expect((await owner.client.delete(`/api-keys/${middle.id}`)).status).toBe(200);
    for (const { id, secret } of [middle, bottom]) {
      expect(await isAccepted(app, secret)).toBe(false);
      expect((await owner.client.get(`/api-keys/${id}`)).status).toBe(404);
      expect(await rowOf(id)).toMatchObject({ is_active: false, deleted_at: expect.any(Date) });
      expect(await app.database.query('SELECT FROM api_key_secrets WHERE api_key_id = $1', [id])).toEqual([]);
    }
    expect(await isAccepted(app, sibling.secret)).toBe(true);
    const rows = await app.database.query(
      `SELECT resource_id, details FROM audit_logs WHERE action = 'delete_api_key' AND resource_id = ANY($1)
       ORDER BY id`,
      [[middle, bottom, sibling].map(({ id }) => String(id))],
    );
    expect(rows).toEqual([
      { resource_id: String(middle.id), details: expect.objectContaining({ name: 'A key' }) },
      { resource_id: String(bottom.id), details: expect.objectContaining({ reason: 'parent_deleted' }) },
    ]);
    expect((await owner.client.delete(`/api-keys/${top.id}`)).status).toBe(200);
    expect(await isAccepted(app, sibling.secret)).toBe(false);
  });

  it('may end the key that it came from, and itself with that', async () => {
    const top = await keyOf({ scopes: SCOPES });
    const child = await childOf(top.client, { scopes: SCOPES });
    expect((await child.client.delete(`/api-keys/${top.id}`)).status).toBe(200);
    expect(await isAccepted(app, child.secret)).toBe(false);
  });

  it('outlives a new secret of it', async () => {
    const top = await keyOf({ scopes: SCOPES });
    const child = await childOf(top.client);
    expect((await owner.client.post(`/api-keys/${top.id}/regenerate`)).status).toBe(200);
    expect(await isAccepted(app, child.secret)).toBe(true);
  });

  it('is not created while what it would come from ends, whichever is first', async () => {
    for (let round = 0; round < 4; round += 1) {
      const top = await keyOf({ scopes: SCOPES });
      const middle = await childOf(top.client, { scopes: SCOPES });
      const [created, ended] = await Promise.all([
        middle.client.post('/api-keys', { name: 'A key' }),
        owner.client.delete(`/api-keys/${top.id}`),
      ]);
      expect(ended.status).toBe(200);
      expect([201, 401]).toContain(created.status);
      const living = await app.database.query(
        'SELECT id FROM api_keys WHERE parent_key_id = ANY($1) AND deleted_at IS NULL',
        [[top.id, middle.id]],
      );
      expect(living).toEqual([]);
    }
  });
});

function expectInvalid(answer: ApiAnswer, fields: object, field: string, message: string): void {
  expect([fields, answer.status, answer.body['errors']]).toEqual([fields, 422, [{ field, message }]]);
}

async function count({ database }: TestApp): Promise<number> {
  return (await database.query('SELECT FROM api_keys')).length;
}
