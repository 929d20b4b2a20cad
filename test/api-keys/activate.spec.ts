import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { isAccepted, ownerOfKeys, storedKey } from '../support/api-keys.js';
import { expectOneAuditRow } from '../support/audit-trail.js';
import { TestApp } from '../support/test-app.js';

describe.each([
  { verb: 'activate', message: 'API key activated successfully', isActive: true },
  { verb: 'deactivate', message: 'API key deactivated successfully', isActive: false },
])('POST /api-keys/{id}/$verb', ({ verb, message, isActive }) => {
  let app: TestApp;
  beforeAll(async () => {
    app = await sharedApp();
  });

  it('answers the message of the seed, takes effect at once and leaves one audit row', async () => {
    const { owner, key } = await ownerOfKeys(app, 1, { name: 'Switched' });
    const { id, secret, body } = key;
    await app.admin.put(`/api-keys/${id}`, { is_active: !isActive });
    expect(await isAccepted(app, secret)).toBe(!isActive);

    const answer = await owner.client.post(`/api-keys/${id}/${verb}`);
    expect(answer.status).toBe(200);
    expect(answer.body).toStrictEqual({ message });
    expect(await isAccepted(app, secret)).toBe(isActive);
    await expectOneAuditRow(app.database, answer, {
      action: `${verb}_api_key`,
      resource_type: 'api_key',
      resource_id: String(id),
      user_id: owner.id,
      details: { name: 'Switched' },
    });
    const read = await owner.client.get(`/api-keys/${id}`);
    expect(read.body).toStrictEqual({
      ...body,
      is_active: isActive,
      state: isActive ? 'active' : 'inactive',
      secrets: [{ ...body['secrets'][0], last_used_at: expect.toSatisfy(() => true) }],
      updated_at: expect.any(String),
    });
  });

  it('is idempotent: again it answers the same, changes nothing and is audited', async () => {
    const { id } = await app.apiKey();
    const path = `/api-keys/${id}/${verb}`;
    await app.admin.post(path);
    const before = await storedKey(app, id);
    const again = await app.admin.post(path);
    expect(again.status).toBe(200);
    expect(again.body).toStrictEqual({ message });
    await expectOneAuditRow(app.database, again, { action: `${verb}_api_key`, details: { name: 'A key' } });
    expect(await storedKey(app, id)).toEqual(before);
  });

  it('needs no body and takes an empty one', async () => {
    const { id } = await app.apiKey();
    expect((await app.admin.post(`/api-keys/${id}/${verb}`, {})).status).toBe(200);
    const headers = { 'content-type': 'application/json' };
    expect((await app.admin.send('POST', `/api-keys/${id}/${verb}`, { headers })).status).toBe(200);
  });
});

let shared: Promise<TestApp> | undefined;
const sharedApp = () => (shared ??= TestApp.start());
afterAll(async () => (await shared)?.stop());
