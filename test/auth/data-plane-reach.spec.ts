import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { ApiAnswer, ApiClient } from '../support/api-client.js';
import { askToHold, heldId, step } from '../support/budgets.js';
import { keyIn, newPlace, type Place, serviceIn } from '../support/places.js';
import { type TestApiKey, TestApp } from '../support/test-app.js';
import { usageEvent } from '../support/usage-events.js';

const UNKNOWN = 'en_0000000000000000000000000000000036RxEe';
const DATA_PLANE = ['platform:api-keys:verify', 'platform:usage:write', 'platform:api-keys:read'];

/** A problem without what is different in each. */
function bare({ body }: ApiAnswer): unknown {
  return { ...body, request_id: undefined };
}

describe('a service account on the data plane', { timeout: 60_000 }, () => {
  let app: TestApp;
  let place: Place;
  let service: ApiClient;
  let own: TestApiKey;
  let ofOrganization: TestApiKey;
  let foreign: TestApiKey;
  beforeAll(async () => {
    app = await TestApp.start();
    place = await newPlace(app);
    service = await serviceIn(app, place, DATA_PLANE);
    own = await keyIn(app, place);
    ofOrganization = await keyIn(app, await newPlace(app, place.organizationId));
    foreign = await keyIn(app, await newPlace(app));
  });
  afterAll(() => app.stop());

  const verify = (key: string, more = {}) => service.post('/api-keys/verify', { key, ...more });

  it('judges all keys of its organization', async () => {
    for (const { secret } of [own, ofOrganization])
      expect((await verify(secret)).body).toMatchObject({ valid: true, code: 'VALID' });
  });

  it('gets for a foreign key what it gets for an unknown one, and consumes nothing of it', async () => {
    const limited = await keyIn(app, await newPlace(app), { rate_limit_per_minute: 1 });
    for (const more of [{}, { explain: true }, { hold_cents: 1, hold_ttl_seconds: 60 }]) {
      const unknown = await verify(UNKNOWN, more);
      expect(unknown.status).toBe(200);
      for (const { secret } of [foreign, limited])
        expect(await verify(secret, more)).toMatchObject({ status: 200, text: unknown.text });
    }
    const { body } = await app.admin.post('/api-keys/verify', { key: limited.secret });
    expect(body['valid']).toBe(true);
  });

  it('judges in a batch each key by its place', async () => {
    const requests = [own, foreign, ofOrganization].map(({ secret }) => ({ key: secret }));
    const { body } = await service.post('/api-keys/verify/batch', { requests });
    const codes = body['verdicts'].map(({ code }: { code: string }) => code);
    expect(codes).toEqual(['VALID', 'NOT_FOUND', 'VALID']);
  });

  it('is explained only keys that it may read, those of its project', async () => {
    expect((await verify(own.secret, { explain: true })).body['code']).toBe('VALID');
    expect((await verify(ofOrganization.secret, { explain: true })).body['code']).toBe('NOT_FOUND');
  });

  it('introspects keys of its organization alone', async () => {
    const active = async ({ secret }: TestApiKey) =>
      (await service.post('/introspect', { token: secret })).body['active'];
    expect(await active(ofOrganization)).toBe(true);
    expect(await active(foreign)).toBe(false);
  });

  it('has the usage of foreign keys rejected as that of unknown ones', async () => {
    const events = [own, foreign, ofOrganization].map(({ id }) => usageEvent(id));
    const { body } = await service.post('/usage', [...events, usageEvent(999_999)]);
    expect(body['accepted']).toBe(2);
    const [first, second] = body['rejected'];
    expect(first).toEqual({ ...second, index: 1 });
    const single = (id: number) => service.post('/usage', usageEvent(id));
    expect(bare(await single(foreign.id))).toEqual(bare(await single(999_999)));
    const { body: stored } = await app.admin.get(`/api-keys/${foreign.id}`);
    expect(stored['total_requests']).toBe(0);
  });

  it('holds amounts of keys of its organization, and of no others', async () => {
    const unknown = await askToHold(service, { ...foreign, id: 999_999 }, 1);
    expect(unknown.status).toBe(404);
    expect(bare(await askToHold(service, foreign, 1))).toEqual(bare(unknown));
    const bySecret = { key: foreign.secret, amount_cents: 1, ttl_seconds: 60 };
    expect((await service.post('/budget-holds', bySecret)).status).toBe(404);
    const id = await heldId(service, ofOrganization, 1);
    expect((await step(service, id, 'extend', { ttl_seconds: 90 })).status).toBe(200);
    expect((await step(service, id, 'settle', { cost_cents: 1 })).status).toBe(200);
  });

  it('finds its own hold no more once the key has left its organization', async () => {
    const key = await keyIn(app, place);
    const id = await heldId(service, key, 1);
    const { organizationId, projectId } = await newPlace(app);
    await app.database.query('UPDATE api_keys SET organization_id = $1, project_id = $2 WHERE id = $3', [
      organizationId,
      projectId,
      key.id,
    ]);
    for (const [action, body] of [
      ['extend', { ttl_seconds: 90 }],
      ['settle', { cost_cents: 1 }],
      ['release', undefined],
    ] as const)
      expect((await step(service, id, action, body)).status).toBe(404);
    expect((await step(app.admin, id, 'release')).status).toBe(200);
  });

  it('releases holds of others only where it may change budgets', async () => {
    const keeper = await serviceIn(app, place, ['platform:budgets:update']);
    const [inside, outside] = [await heldId(app.admin, own, 1), await heldId(app.admin, ofOrganization, 1)];
    expect((await step(keeper, inside, 'release')).status).toBe(200);
    expect((await step(keeper, outside, 'release')).status).toBe(404);
  });

  it('needs the permission: without it, every route refuses it', async () => {
    const reader = await serviceIn(app, place, ['platform:api-keys:read']);
    expect((await reader.post('/api-keys/verify', { key: own.secret })).status).toBe(403);
    expect((await reader.post('/usage', usageEvent(own.id))).status).toBe(403);
    expect((await askToHold(reader, own, 1)).status).toBe(403);
  });

  it('and who holds the permission everywhere judges every key', async () => {
    for (const { secret } of [own, ofOrganization, foreign])
      expect((await app.admin.post('/api-keys/verify', { key: secret })).body['valid']).toBe(true);
  });
});
