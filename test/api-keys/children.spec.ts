import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { ApiAnswer, ApiClient } from '../support/api-client.js';
import { apiKeyBody, isAccepted } from '../support/api-keys.js';
import { LockedRow } from '../support/locked-row.js';
import { expectProblem } from '../support/problems.js';
import { TestApp, type TestApiKey, type TestUser } from '../support/test-app.js';
import { FIELDS, MANAGE, PARENT, SCOPES } from './restrictions.js';

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

  it('is not created with a restriction beyond the parent, which is reported by field and rule', async () => {
    const before = await count(app);
    for (const [fields, field, message] of FIELDS.flatMap(({ beyond }) => beyond)) {
      const answer = await asParent.post('/api-keys', { name: 'A key', ...fields });
      expectInvalid(answer, fields, field, message);
    }
    expect(await count(app)).toBe(before);
  });

  it('is given no restriction beyond the parent later, by any caller', async () => {
    const child = await childOf(asParent, { scopes: ['chat'] });
    const clients = [owner.client, app.admin, asParent];
    for (const [index, [fields, field, message]] of FIELDS.flatMap(({ beyond }) => beyond).entries()) {
      const client = clients[index % clients.length]!;
      expectInvalid(await client.put(`/api-keys/${child.id}`, fields), fields, field, message);
    }
    expect(await rowOf(child.id)).toMatchObject({ version: 1 });
  });

  it('gets errors for all that is beyond the parent at once', async () => {
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

  it.each([
    ['first', 201],
    ['last', 401],
  ])('is not created while what it would come from ends, also where it comes %s', async (place, status) => {
    const top = await keyOf({ scopes: SCOPES });
    const middle = await childOf(top.client, { scopes: SCOPES });
    const create = () => middle.client.post('/api-keys', { name: 'A key' });
    const end = () => owner.client.delete(`/api-keys/${top.id}`);
    // Both are admitted, and then wait for the key at the top, one behind the other.
    const held = await LockedRow.lock(app.database, 'api_keys', top.id);
    const first = place === 'first' ? create() : end();
    await held.untilWaiting(1);
    const last = place === 'first' ? end() : create();
    await held.untilWaiting(2);
    await held.release();
    const [created, ended] = place === 'first' ? [await first, await last] : [await last, await first];
    expect(ended.status).toBe(200);
    expect(created.status).toBe(status);
    const living = await app.database.query(
      'SELECT id FROM api_keys WHERE parent_key_id = ANY($1) AND deleted_at IS NULL',
      [[top.id, middle.id]],
    );
    expect(living).toEqual([]);
  });
});

function expectInvalid(answer: ApiAnswer, fields: object, field: string, message: string): void {
  expect([fields, answer.status, answer.body['errors']]).toEqual([fields, 422, [{ field, message }]]);
}

async function count({ database }: TestApp): Promise<number> {
  return (await database.query('SELECT FROM api_keys')).length;
}
