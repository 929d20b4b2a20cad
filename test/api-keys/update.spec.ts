import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { apiKeyBody, isAccepted, ownerOfKeys, storedKey } from '../support/api-keys.js';
import { expectOneAuditRow } from '../support/audit-trail.js';
import { expectInvalid, expectProblem } from '../support/problems.js';
import { TestApp, type TestApiKey } from '../support/test-app.js';

const CHANGED = {
  name: 'Changed',
  description: 'Changed too',
  scopes: ['app:write'],
  is_active: false,
  expires_at: '2999-01-01T00:00:00.000Z',
  rate_limit_per_minute: 1,
  rate_limit_per_hour: 2,
  rate_limit_per_day: 3,
  allowed_ips: ['192.0.2.1'],
  allowed_models: ['claude-*'],
  allowed_chatbots: ['sales'],
  is_unlimited: false,
  budget_limit_cents: 7,
  budget_type: 'monthly',
  tags: ['changed'],
};
const BUDGET = { is_unlimited: false, budget_limit_cents: 100, budget_type: 'monthly' };
const NO_BUDGET = { is_unlimited: true, budget_limit_cents: null, budget_type: null };
const WHILE_UNLIMITED = 'must not be set while is_unlimited is true';
const REQUIRED = 'is required when is_unlimited is false';

describe('PUT /api-keys/{id}', () => {
  let app: TestApp;
  beforeAll(async () => {
    app = await TestApp.start();
  });
  afterAll(() => app.stop());

  const put = ({ id }: TestApiKey, body: unknown, headers = {}) =>
    app.admin.put(`/api-keys/${id}`, body, headers);

  it('lets an owner without permission change everything, and answers the whole key', async () => {
    const { owner, key } = await ownerOfKeys(app, 1);
    const answer = await owner.client.put(`/api-keys/${key.id}`, CHANGED);
    expect(answer.status).toBe(200);
    expect(answer.headers.get('etag')).toBe('"2"');
    expect(answer.body).toStrictEqual(apiKeyBody({ user_id: owner.id, ...CHANGED, state: 'inactive' }));
    expect((await owner.client.get(`/api-keys/${key.id}`)).body).toStrictEqual(answer.body);
  });

  it.each(Object.entries(CHANGED).filter(([field]) => !/budget|is_unlimited/.test(field)))(
    'changes %s alone when nothing else is sent',
    async (field, value) => {
      const key = await app.apiKey(app.admin, { tags: ['kept'], rate_limit_per_day: 9, ...BUDGET });
      const answer = await put(key, { [field]: value });
      expect(answer.body).toStrictEqual({
        ...key.body,
        [field]: value,
        state: field === 'is_active' ? 'inactive' : 'active',
        updated_at: expect.any(String),
      });
      await expectOneAuditRow(app.database, answer, {
        action: 'update_api_key',
        resource_type: 'api_key',
        resource_id: String(key.id),
        details: {
          updated_fields: [field],
          before_values: { [field]: key.body[field] },
          after_values: { [field]: value },
        },
      });
    },
  );

  it('changes nothing, the version neither, when nothing is sent or nothing differs', async () => {
    const key = await app.apiKey(app.admin, { tags: ['a', 'b'], expires_at: '2999-01-01T00:00:00Z' });
    const before = await storedKey(app, key.id);
    const same = {
      name: 'A key',
      tags: ['a', 'b'],
      expires_at: '2999-01-01T01:00:00+01:00',
      is_active: true,
    };
    for (const body of [{}, undefined, same]) {
      const answer = await put(key, body);
      expect(answer.status).toBe(200);
      expect(answer.body).toStrictEqual(key.body);
      await expectOneAuditRow(app.database, answer, {
        action: 'update_api_key',
        details: { updated_fields: [], before_values: {}, after_values: {} },
      });
    }
    expect(await storedKey(app, key.id)).toEqual(before);
  });

  it('clears a nullable field by an explicit null, and keeps it when absent', async () => {
    const nullable = [
      'description',
      'expires_at',
      'rate_limit_per_minute',
      'rate_limit_per_hour',
      'rate_limit_per_day',
    ];
    const { is_active: _, is_unlimited: __, budget_limit_cents: ___, budget_type: ____, ...fields } = CHANGED;
    const key = await app.apiKey(app.admin, fields);
    for (const field of nullable) {
      const answer = await put(key, { [field]: null });
      expect(answer.body[field]).toBeNull();
      await expectOneAuditRow(app.database, answer, {
        details: {
          updated_fields: [field],
          before_values: { [field]: key.body[field] },
          after_values: { [field]: null },
        },
      });
    }
    const read = await app.admin.get(`/api-keys/${key.id}`);
    const cleared = Object.fromEntries(nullable.map((field) => [field, null]));
    expect(read.body).toStrictEqual({ ...key.body, ...cleared, updated_at: expect.any(String) });
  });

  it('clears the budget when the key becomes unlimited, and says so in the audit row', async () => {
    const key = await app.apiKey(app.admin, BUDGET);
    const answer = await put(key, { is_unlimited: true });
    expect(answer.body).toMatchObject(NO_BUDGET);
    await expectOneAuditRow(app.database, answer, {
      details: {
        updated_fields: ['is_unlimited', 'budget_limit_cents', 'budget_type'],
        before_values: BUDGET,
        after_values: NO_BUDGET,
      },
    });
  });

  it.each([
    [
      'no budget',
      {},
      { is_unlimited: false, budget_limit_cents: 3 },
      { budget_limit_cents: 3, budget_type: 'total' },
    ],
    ['no budget', {}, { budget_limit_cents: null, budget_type: null }, NO_BUDGET],
    ['a budget', BUDGET, { budget_limit_cents: 200 }, { ...BUDGET, budget_limit_cents: 200 }],
    ['a budget', BUDGET, { budget_type: 'total' }, { ...BUDGET, budget_type: 'total' }],
    ['a budget', BUDGET, { budget_type: null }, { ...BUDGET, budget_type: 'total' }],
    ['a budget', BUDGET, { is_unlimited: false }, BUDGET],
    ['a budget', BUDGET, NO_BUDGET, NO_BUDGET],
  ])('judges the merged state: with %s %j, %j is right', async (_name, fields, changes, expected) => {
    const answer = await put(await app.apiKey(app.admin, fields), changes);
    expect(answer.status).toBe(200);
    expect(answer.body).toMatchObject(expected);
  });

  it.each([
    ['no budget', {}, { budget_limit_cents: 3 }, 'budget_limit_cents', WHILE_UNLIMITED],
    ['no budget', {}, { budget_type: 'total' }, 'budget_type', WHILE_UNLIMITED],
    ['no budget', {}, { is_unlimited: false }, 'budget_limit_cents', REQUIRED],
    ['a budget', BUDGET, { budget_limit_cents: null }, 'budget_limit_cents', REQUIRED],
    [
      'a budget',
      BUDGET,
      { is_unlimited: true, budget_limit_cents: 100 },
      'budget_limit_cents',
      WHILE_UNLIMITED,
    ],
    ['a budget', BUDGET, { is_unlimited: true, budget_type: 'monthly' }, 'budget_type', WHILE_UNLIMITED],
    ['a budget', BUDGET, { expires_at: '2020-01-01T00:00:00Z' }, 'expires_at', 'must lie in the future'],
  ])('judges the merged state: with %s %j, %j is wrong', async (_name, fields, changes, field, message) => {
    const key = await app.apiKey(app.admin, fields);
    const before = await storedKey(app, key.id);
    expectInvalid(await put(key, changes), { field, message });
    expect(await storedKey(app, key.id)).toEqual(before);
  });

  it('deactivates and activates by is_active, at once', async () => {
    const key = await app.apiKey();
    await put(key, { is_active: false });
    expect(await isAccepted(app, key.secret)).toBe(false);
    await put(key, { is_active: true });
    expect(await isAccepted(app, key.secret)).toBe(true);
  });

  it('moves updated_at, and nothing else of what a caller cannot set', async () => {
    const key = await app.apiKey();
    app.clock.advanceSeconds(60);
    const { body } = await put(key, { name: 'Later' });
    expect(Date.parse(body['updated_at']) - Date.parse(key.body['created_at'])).toBeGreaterThanOrEqual(
      60_000,
    );
    expect(body).toStrictEqual({ ...key.body, name: 'Later', updated_at: body['updated_at'] });
  });

  describe('If-Match', () => {
    it.each([
      '"2"',
      '"0"',
      '"1',
      '1',
      'W/"1"',
      '""',
      '"01"',
      '"01"x',
      '"99999999999999999999"',
      '',
      '"2", "3"',
      'W/"1", "2"',
      '"1" "2"',
      '*, "1"',
      '"1",2',
      '",1,"',
      '"2,\\"1"',
    ])('refuses %s when the version is 1, and changes nothing', async (tag) => {
      const key = await app.apiKey();
      const before = await storedKey(app, key.id);
      const answer = await put(key, { name: 'Changed' }, { 'if-match': tag });
      expectProblem(answer, 'api_key.version_mismatch');
      expect(answer.status).toBe(412);
      expect(await storedKey(app, key.id)).toEqual(before);
    });

    it('lets one of two editors who read the same version win, and the other read again', async () => {
      const key = await app.apiKey();
      const tag = (await app.admin.get(`/api-keys/${key.id}`)).headers.get('etag') ?? '';
      const answers = await Promise.all(
        ['First', 'Second'].map((name) => put(key, { name }, { 'if-match': tag })),
      );
      expect(answers.map(({ status }) => status).toSorted((a, b) => a - b)).toEqual([200, 412]);
      const winner = answers.find(({ status }) => status === 200);
      const next = await put(key, { tags: ['x'] }, { 'if-match': winner?.headers.get('etag') });
      expect(next.body).toMatchObject({ name: winner?.body['name'], tags: ['x'] });
    });

    it.each(['"1", "2"', '"2","1"', 'W/"1" , "1"', ',, "7",\t"1" ,', '"a,\\", "1"', '"01", "1"'])(
      'lets version 1 pass when it is among the tags of %s',
      async (tags) => {
        const key = await app.apiKey();
        expect((await put(key, { name: 'Changed' }, { 'if-match': tags })).headers.get('etag')).toBe('"2"');
      },
    );

    it('lets any version pass with * or when absent', async () => {
      const key = await app.apiKey();
      expect((await put(key, { name: 'Second' }, { 'if-match': '*' })).headers.get('etag')).toBe('"2"');
      expect((await put(key, { name: 'Third' })).headers.get('etag')).toBe('"3"');
    });

    it('tells nothing to a caller who may not update', async () => {
      const key = await app.apiKey();
      const stranger = await app.user();
      const answer = await stranger.client.put(`/api-keys/${key.id}`, {}, { 'if-match': '"9"' });
      expectProblem(answer, 'permission.denied');
      expectProblem(await app.admin.put('/api-keys/999999', {}, { 'if-match': '*' }), 'api_key.not_found');
    });
  });
});
