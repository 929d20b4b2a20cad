import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { ApiAnswer } from '../support/api-client.js';
import { expectOneAuditRow } from '../support/audit-trail.js';
import { UTC_TIMESTAMP } from '../support/api-keys.js';
import { expectInvalid, expectProblem } from '../support/problems.js';
import { TestApp, USER_PASSWORD } from '../support/test-app.js';

const AUDITED = { resource_type: 'user', user_id: 1 } as const;

describe('/users', () => {
  let app: TestApp;
  let made = 0;
  beforeAll(async () => {
    app = await TestApp.start();
  });
  afterAll(() => app.stop());

  const newName = () => `person-${(made += 1)}`;
  const pathOf = ({ body }: ApiAnswer) => `/users/${String(body['id'])}`;
  const create = (fields: Record<string, unknown>) =>
    app.admin.post('/users', { username: newName(), password: USER_PASSWORD, ...fields });

  it('POST makes a user who may do nothing by default', async () => {
    const username = newName();
    const answer = await create({ username });
    expect([answer.status, answer.body]).toEqual([
      201,
      {
        id: expect.any(Number),
        username,
        role: 'user',
        permissions: [],
        is_active: true,
        created_at: expect.stringMatching(UTC_TIMESTAMP),
        updated_at: expect.stringMatching(UTC_TIMESTAMP),
      },
    ]);
    expect((await app.admin.get(pathOf(answer))).body).toEqual(answer.body);
    const details = { username, role: 'user', permissions: [] };
    const expected = { ...AUDITED, action: 'create_user', resource_id: String(answer.body['id']), details };
    await expectOneAuditRow(app.database, answer, expected);
  });

  it('POST takes role and permissions, and keeps the name in lower case', async () => {
    const permissions = ['platform:users:read', 'platform:*:create'];
    const { body } = await create({ username: 'Dana.Scully@X-Files_+1', role: 'auditor', permissions });
    expect(body).toMatchObject({ username: 'dana.scully@x-files_+1', role: 'auditor', permissions });
  });

  it.each([
    ['username', '', 'must be 1 to 64 characters long'],
    ['username', 'x'.repeat(65), 'must be 1 to 64 characters long'],
    ['username', 'a b', 'must be made of the characters A-Z a-z 0-9 . _ @ + -'],
    ['username', 'dänä', 'must be made of the characters A-Z a-z 0-9 . _ @ + -'],
    ['username', ' dana', 'must be made of the characters A-Z a-z 0-9 . _ @ + -'],
    ['username', 'dana\n', 'must be made of the characters A-Z a-z 0-9 . _ @ + -'],
    ['username', null, 'must not be null'],
    ['username', 7, 'must be a string'],
    ['password', 'eleven char', 'must be 12 to 72 characters long'],
    ['password', 'x'.repeat(73), 'must be 12 to 72 characters long'],
    ['password', 'é'.repeat(37), 'must be at most 72 bytes long'],
    ['password', 'password1234', 'is one of the most common passwords'],
    ['password', undefined, 'is required'],
    ['role', 'owner', 'must be one of admin, developer, auditor, service, user'],
    ['role', null, 'must not be null'],
    ['role', 'Admin', 'must be one of admin, developer, auditor, service, user'],
    ['permissions', 'platform:*', 'must be a list of strings'],
    ['permissions', [''], 'entry 0 must be 1 to 200 characters long'],
    ['permissions', ['a:b', 'a:b'], 'must not repeat an entry'],
    ['permissions', ['a:b', 'a::b'], 'entry 1 must be a permission such as platform:api-keys:read'],
    ['permissions', ['A:B'], 'entry 0 must be a permission such as platform:api-keys:read'],
    ['permissions', Array.from({ length: 101 }, (_, index) => `a:${index}`), 'must have at most 100 entries'],
    ['permissions', null, 'must not be null'],
  ])('POST refuses the %s %j: it %s', async (field, value, message) => {
    expectInvalid(await create({ [field]: value }), { field, message });
  });

  it('POST names every broken rule at once', async () => {
    const answer = await app.admin.post('/users', {
      username: '',
      role: 'x',
      permissions: 1,
      password: 'x',
      more: 1,
    });
    const fields = (answer.body['errors'] as { field: string }[]).map(({ field }) => field);
    expect(fields.toSorted()).toEqual(['more', 'password', 'permissions', 'role', 'username']);
  });

  it('POST refuses a name that is taken, in any case, also when two ask at once', async () => {
    const { body } = await create({});
    const again = await create({ username: (body['username'] as string).toUpperCase() });
    expectProblem(again, 'user.username_taken', 'A user of this name exists already.');
    const username = newName();
    const answers = await Promise.all(Array.from({ length: 4 }, () => create({ username })));
    const statuses = answers.map(({ status }) => status);
    expect(statuses.filter((status) => status === 201)).toHaveLength(1);
    expect(statuses.filter((status) => status === 409)).toHaveLength(3);
  });

  it('GET lists users in the order they came, a page at a time, and no password', async () => {
    const answer = await app.admin.get('/users?page=1&size=2');
    expect(answer.body).toMatchObject({ page: 1, size: 2 });
    expect(answer.body['users'].map(({ id }: { id: number }) => id)).toEqual([1, 2]);
    const all = await app.admin.get('/users?size=100');
    expect(all.body['total']).toBe(all.body['users'].length);
    expect(all.text).not.toMatch(/password|\$2[aby]\$/);
    const details = { page: 1, size: 2 };
    await expectOneAuditRow(app.database, answer, {
      ...AUDITED,
      action: 'list_users',
      resource_id: null,
      details,
    });
  });

  it('GET answers 404 for nobody, and leaves no row of success', async () => {
    for (const path of ['/users/999999', '/users/9007199254740991']) {
      expectProblem(await app.admin.get(path), 'user.not_found', 'User not found');
    }
    const answer = await app.admin.get('/users/1');
    await expectOneAuditRow(app.database, answer, {
      ...AUDITED,
      action: 'get_user',
      resource_id: '1',
      details: {},
    });
  });

  it('PUT changes only the fields present, and tells what they were', async () => {
    const created = await create({ permissions: ['platform:users:read'] });
    const [{ body }, path] = [created, pathOf(created)];
    const answer = await app.admin.put(path, { role: 'auditor' });
    expect(answer.body).toEqual({
      ...body,
      role: 'auditor',
      updated_at: expect.stringMatching(UTC_TIMESTAMP),
    });
    const details = {
      updated_fields: ['role'],
      before_values: { role: 'user' },
      after_values: { role: 'auditor' },
    };
    const expected = { ...AUDITED, action: 'update_user', resource_id: String(body['id']), details };
    await expectOneAuditRow(app.database, answer, expected);
    expect((await app.admin.put(path, { permissions: [], is_active: false })).body).toMatchObject({
      role: 'auditor',
      permissions: [],
      is_active: false,
    });
    expect((await app.admin.put(path, {})).body).toMatchObject({ role: 'auditor', is_active: false });
  });

  it.each([
    ['is_active', 'true', 'must be true or false'],
    ['is_active', null, 'must not be null'],
    ['role', null, 'must not be null'],
    ['permissions', null, 'must not be null'],
    ['username', 'other', 'is not a known property'],
    ['password', USER_PASSWORD, 'is not a known property'],
  ])('PUT refuses the %s %j: it %s', async (field, value, message) => {
    const path = pathOf(await create({}));
    expectInvalid(await app.admin.put(path, { [field]: value }), { field, message });
  });

  it('DELETE ends a user and their keys, and keeps their history', async () => {
    const person = await app.user({ role: 'developer' });
    const keys = [await app.apiKey(person.client, { name: 'One', scopes: ['platform:api-keys:read'] })];
    keys.push(await app.apiKey(person.client, { name: 'Two' }));
    const answer = await app.admin.delete(`/users/${person.id}`);
    expect([answer.status, answer.body]).toEqual([200, { message: 'User deleted successfully' }]);
    for (const { id, secret } of keys) {
      expectProblem(await app.anonymous.withApiKey(secret).get('/auth/me'), 'auth.credential_invalid');
      expectProblem(await app.admin.get(`/api-keys/${id}`), 'api_key.not_found', 'API key not found');
    }
    expect((await app.admin.get(`/api-keys?user_id=${person.id}`)).body).toMatchObject({
      api_keys: [],
      total: 0,
    });
    expectProblem(await app.admin.get(`/users/${person.id}`), 'user.not_found');
    expectProblem(await app.admin.put(`/users/${person.id}`, { is_active: true }), 'user.not_found');
    expectProblem(await app.admin.delete(`/users/${person.id}`), 'user.not_found');
    const history = await app.admin.get(`/audit-logs?user_id=${person.id}`);
    expect(history.body['audit_logs'].map(({ action }: { action: string }) => action)).toEqual([
      'create_api_key',
      'create_api_key',
      'login',
    ]);
  });

  it('DELETE leaves a row for the user and for each key, with its reason', async () => {
    const person = await app.user({ role: 'developer' });
    const key = await app.apiKey(person.client, { name: 'Of the deleted' });
    const answer = await app.admin.delete(`/users/${person.id}`);
    const rows = await app.database.query(
      'SELECT action, resource_id, details, user_id::int FROM audit_logs WHERE request_id = $1 ORDER BY action',
      [answer.headers.get('x-request-id')],
    );
    expect(rows).toEqual([
      {
        action: 'delete_api_key',
        resource_id: String(key.id),
        details: { name: 'Of the deleted', reason: 'owner_deleted' },
        user_id: 1,
      },
      {
        action: 'delete_user',
        resource_id: String(person.id),
        details: { username: person.username },
        user_id: 1,
      },
    ]);
  });

  it('DELETE frees the name for somebody else, who owns nothing of it', async () => {
    const person = await app.user({ role: 'developer' });
    await app.apiKey(person.client);
    await app.admin.delete(`/users/${person.id}`);
    const { body } = await create({ username: person.username });
    expect(body['id']).not.toBe(person.id);
    expect((await app.admin.get(`/api-keys?user_id=${String(body['id'])}`)).body['total']).toBe(0);
    expectProblem(await person.client.get('/auth/me'), 'auth.credential_invalid');
  });
});
