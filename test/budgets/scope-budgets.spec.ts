import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import type { ApiClient } from '../support/api-client.js';
import { askToHold, heldId, step } from '../support/budgets.js';
import { createTestDatabase, type TestDatabase } from '../support/database.js';
import { keyIn, newPlace, type Place } from '../support/places.js';
import { type TestApiKey, TestApp } from '../support/test-app.js';
import { usageEvent } from '../support/usage-events.js';

const FEED_BOUND_MS = 5_000;

describe('the budget of a project, and of an organization', { timeout: 60_000 }, () => {
  let database: TestDatabase;
  let app: TestApp;
  let elsewhere: TestApp;
  let admin: ApiClient;
  beforeAll(async () => {
    database = await createTestDatabase();
    app = await TestApp.start({ database });
    elsewhere = await TestApp.start({ database });
    admin = app.admin;
  });
  afterAll(async () => {
    await Promise.all([app.stop(), elsewhere.stop()]);
    await database.drop();
  });

  const ofProject = ({ projectId }: Place) => `/projects/${projectId}/budgets`;
  const ofOrganization = ({ organizationId }: Place) => `/organizations/${organizationId}/budgets`;
  const spend = async (key: TestApiKey, cents: number) => {
    const answer = await admin.post('/usage', usageEvent(key.id, { cost_cents: cents }));
    expect(answer.body['accepted']).toBe(1);
  };
  const codeOf = async ({ secret }: TestApiKey, on = app) =>
    (await on.admin.post('/api-keys/verify', { key: secret })).body['code'];
  const spentIn = async (path: string) => Number((await admin.get(path)).body['spent_cents_decimal']);

  it('is shown as nothing where none was ever set', async () => {
    const place = await newPlace(app);
    for (const path of [ofProject(place), ofOrganization(place)])
      expect((await admin.get(path)).body).toEqual({
        limit_cents: null,
        type: 'total',
        spent_cents_decimal: '0.000000',
        held_cents_decimal: '0.000000',
        remaining_cents_decimal: null,
        period_start: null,
        period_end: null,
      });
  });

  it('counts what all keys spend and hold together, those made before it and after it', async () => {
    const place = await newPlace(app);
    const before = [await keyIn(app, place), await keyIn(app, place)];
    const set = await admin.put(ofProject(place), { limit_cents: 100, type: 'monthly' });
    expect(set).toMatchObject({ status: 200, body: { limit_cents: 100, type: 'monthly' } });
    const keys = [...before, await keyIn(app, place)];
    for (const key of keys) await spend(key, 10);
    await heldId(admin, keys[2]!, 15);
    expect((await admin.get(ofProject(place))).body).toMatchObject({
      spent_cents_decimal: '30.000000',
      held_cents_decimal: '15.000000',
      remaining_cents_decimal: '55.000000',
      period_start: expect.any(String),
    });
  });

  it('refuses every key once it is used up: at verify, and for holds', async () => {
    const place = await newPlace(app);
    const [one, other] = [await keyIn(app, place), await keyIn(app, place)];
    expect([await codeOf(one), await codeOf(other)]).toEqual(['VALID', 'VALID']);
    await admin.put(ofProject(place), { limit_cents: 10 });
    await spend(one, 10);
    expect([await codeOf(one), await codeOf(other)]).toEqual(['BUDGET_EXCEEDED', 'BUDGET_EXCEEDED']);
    expect((await askToHold(admin, other, 1)).status).toBe(402);
    await vi.waitFor(
      async () => expect(await codeOf(other, elsewhere)).toBe('BUDGET_EXCEEDED'),
      FEED_BOUND_MS,
    );
  });

  it('binds keys that were judged without one, on every instance, within the bound of changes', async () => {
    const place = await newPlace(app);
    const key = await keyIn(app, place);
    await spend(key, 5);
    for (const each of [app, elsewhere]) expect(await codeOf(key, each)).toBe('VALID');
    await admin.put(ofProject(place), { limit_cents: 0 });
    expect(await codeOf(key)).toBe('BUDGET_EXCEEDED');
    await vi.waitFor(async () => expect(await codeOf(key, elsewhere)).toBe('BUDGET_EXCEEDED'), FEED_BOUND_MS);
    await admin.put(ofProject(place), { limit_cents: null });
    expect(await codeOf(key)).toBe('VALID');
    await vi.waitFor(async () => expect(await codeOf(key, elsewhere)).toBe('VALID'), FEED_BOUND_MS);
  });

  it('counts a cost at every level at once, and the narrowest refuses first', async () => {
    const place = await newPlace(app);
    const sibling = await newPlace(app, place.organizationId);
    await admin.put(ofProject(place), { limit_cents: 50 });
    await admin.put(ofOrganization(place), { limit_cents: 60 });
    const parent = await keyIn(app, place, {
      scopes: ['platform:api-keys:create'],
      is_unlimited: false,
      budget_limit_cents: 40,
    });
    const made = await app.anonymous.withApiKey(parent.secret).post('/api-keys', { name: 'A child' });
    const child = {
      id: made.body['api_key'].id,
      secret: made.body['secret_key'],
      body: made.body['api_key'],
    };
    const other = await keyIn(app, sibling);
    await spend(child, 30);
    await spend(other, 20);
    expect(await spentIn(ofProject(place))).toBe(30);
    expect(await spentIn(ofOrganization(place))).toBe(50);
    expect((await askToHold(admin, child, 11)).body['code']).toBe('budget.refused');
    expect((await askToHold(admin, child, 10)).status).toBe(201);
    expect((await askToHold(admin, other, 1)).status).toBe(402);
  });

  it('puts the accounts of projects under one that their organization gets later, and none twice', async () => {
    const place = await newPlace(app);
    const [inside, beside] = [
      await keyIn(app, place),
      await keyIn(app, await newPlace(app, place.organizationId)),
    ];
    await admin.put(ofProject(place), { limit_cents: 100 });
    await spend(inside, 1);
    await admin.put(ofOrganization(place), { limit_cents: 100 });
    await spend(inside, 2);
    await spend(beside, 4);
    expect([await spentIn(ofProject(place)), await spentIn(ofOrganization(place))]).toEqual([3, 6]);
    await admin.put(ofOrganization(place), { limit_cents: 200 });
    await spend(inside, 8);
    expect([await spentIn(ofProject(place)), await spentIn(ofOrganization(place))]).toEqual([11, 14]);
  });

  it('does not count what was spent before it, nor takes that back', async () => {
    const place = await newPlace(app);
    const key = await keyIn(app, place);
    const early = usageEvent(key.id, { cost_cents: 7 });
    await admin.post('/usage', early);
    await admin.put(ofProject(place), { limit_cents: 100 });
    await spend(key, 10);
    const { body } = await admin.get(
      `/api-keys/${key.id}/usage/events?request_id=${String(early['request_id'])}`,
    );
    expect((await admin.post(`/usage/${String(body['usage_events'][0].id)}/reversal`)).status).toBe(200);
    expect(await spentIn(ofProject(place))).toBe(10);
  });

  it('keeps what was spent while its limit is taken away, and goes on from there', async () => {
    const place = await newPlace(app);
    const key = await keyIn(app, place);
    await admin.put(ofProject(place), { limit_cents: 10 });
    await spend(key, 6);
    await admin.put(ofProject(place), { limit_cents: null });
    await spend(key, 6);
    expect(await codeOf(key)).toBe('VALID');
    const { body } = await admin.put(ofProject(place), { limit_cents: 12 });
    expect(body).toMatchObject({ spent_cents_decimal: '12.000000', remaining_cents_decimal: '0.000000' });
    expect(await codeOf(key)).toBe('BUDGET_EXCEEDED');
  });

  it('moves with a key: what it spends counts where it is now', async () => {
    const [from, to] = [await newPlace(app), await newPlace(app)];
    for (const place of [from, to]) await admin.put(ofProject(place), { limit_cents: 100 });
    const key = await keyIn(app, from);
    await spend(key, 1);
    const move = async ({ organizationId, projectId }: Place) => {
      const values = [organizationId, projectId, key.id];
      await database.query('UPDATE api_keys SET organization_id = $1, project_id = $2 WHERE id = $3', values);
      await database.query('SELECT place_budget_account($1)', [key.id]);
    };
    await move(to);
    await spend(key, 2);
    expect([await spentIn(ofProject(from)), await spentIn(ofProject(to))]).toEqual([1, 2]);
    await move(await newPlace(app));
    await spend(key, 4);
    expect([await spentIn(ofProject(from)), await spentIn(ofProject(to))]).toEqual([1, 2]);
  });

  it('never lets keys of one project hold more than it has, whoever asks at the same time', async () => {
    const place = await newPlace(app);
    const keys = await Promise.all(Array.from({ length: 20 }, () => keyIn(app, place)));
    // The limit is set while the keys are already being charged and held.
    const asking = keys.flatMap((key) => Array.from({ length: 10 }, () => askToHold(admin, key, 1)));
    await admin.put(ofProject(place), { limit_cents: 50 });
    await Promise.all(asking);
    const instances = [app, elsewhere];
    const later = await Promise.all(
      keys.flatMap((key) =>
        Array.from({ length: 10 }, (_, index) => askToHold(instances[index % 2]!.admin, key, 1)),
      ),
    );
    const { body } = await admin.get(ofProject(place));
    expect(body['held_cents_decimal']).toBe('50.000000');
    expect(later.filter(({ status }) => status === 402).length).toBeGreaterThanOrEqual(150);
    expect(later.every(({ status }) => status === 201 || status === 402)).toBe(true);
  });

  it('says when the first hold in the way ends, and sweeps those of all its keys', async () => {
    const place = await newPlace(app);
    const [one, other] = [await keyIn(app, place), await keyIn(app, place)];
    await admin.put(ofProject(place), { limit_cents: 10 });
    const id = await heldId(admin, one, 10);
    const refused = await askToHold(admin, other, 5);
    expect(refused).toMatchObject({ status: 402, body: { reason: 'held' } });
    expect(Number(refused.headers.get('retry-after'))).toBeGreaterThan(50);
    await database.query(`UPDATE budget_holds SET expires_at = now() - interval '1 second' WHERE id = $1`, [
      id,
    ]);
    expect((await askToHold(admin, other, 5)).status).toBe(201);
    expect((await step(admin, id, 'extend', { ttl_seconds: 60 })).status).toBe(409);
  });

  it('is audited under its own name with its organization, and its thresholds name it', async () => {
    const place = await newPlace(app);
    await admin.put(ofOrganization(place), { limit_cents: 500 });
    await admin.put(ofProject(place), { limit_cents: 10, type: 'monthly' });
    await spend(await keyIn(app, place), 9);
    const { body } = await admin.get(
      `/audit-logs?action=update_project_budget&organization_id=${place.organizationId}`,
    );
    expect(body['audit_logs']).toMatchObject([
      {
        resource_type: 'project',
        resource_id: String(place.projectId),
        details: { before_values: { limit_cents: null }, after_values: { limit_cents: 10, type: 'monthly' } },
      },
    ]);
    await vi.waitFor(async () => {
      const { body: log } = await admin.get(
        `/audit-logs?action=budget_threshold_reached&organization_id=${place.organizationId}`,
      );
      const named = { resource_type: 'project', resource_id: String(place.projectId) };
      expect(log['audit_logs']).toMatchObject([named, named]);
      const percents = log['audit_logs'].map(
        ({ details }: { details: { percent: number } }) => details.percent,
      );
      expect(percents.toSorted()).toEqual([50, 80]);
    }, 10_000);
  });

  it('is read and set by members whose role says so, in their scope alone', async () => {
    const [place, foreign] = [await newPlace(app), await newPlace(app)];
    const [owner, viewer] = [await app.user(), await app.user()];
    await admin.post(`/organizations/${place.organizationId}/members`, {
      user_id: owner.id,
      role: 'org_owner',
    });
    await admin.post(`/projects/${place.projectId}/members`, { user_id: viewer.id, role: 'project_viewer' });
    expect((await owner.client.put(ofOrganization(place), { limit_cents: 5 })).status).toBe(200);
    expect((await viewer.client.get(ofProject(place))).status).toBe(200);
    expect((await viewer.client.put(ofProject(place), { limit_cents: 5 })).status).toBe(403);
    expect((await viewer.client.get(ofOrganization(place))).status).toBe(403);
    for (const path of [ofProject(foreign), ofOrganization(foreign)])
      expect((await owner.client.put(path, { limit_cents: 5 })).status).toBe(404);
  });

  it('takes whole cents and one of the two types', async () => {
    const place = await newPlace(app);
    for (const body of [{}, { limit_cents: -1 }, { limit_cents: 1.5 }, { limit_cents: 1, type: 'daily' }])
      expect((await admin.put(ofProject(place), body)).status).toBe(422);
  });
});
