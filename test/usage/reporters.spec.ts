import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { ApiClient } from '../support/api-client.js';
import { askToHold, heldId, keyWithBudget, step, storedAccount } from '../support/budgets.js';
import { expectInvalid, expectProblem } from '../support/problems.js';
import { type TestApiKey, TestApp, type TestUser } from '../support/test-app.js';
import { usageEvent } from '../support/usage-events.js';

/** Somebody who reports, and what the database should know of them. */
interface Service {
  readonly client: ApiClient;
  readonly userId: number;
  readonly apiKeyId: number | null;
}

describe('what services report is theirs', () => {
  let app: TestApp;
  let user: TestUser;
  /** Two users, and two keys of the second. */
  let services: readonly [Service, Service, Service, Service];
  beforeAll(async () => {
    app = await TestApp.start();
    user = await app.user({ role: 'service' });
    const other = await app.user({ role: 'service' });
    const keys = [1, 2].map(() => app.apiKeyOf(other, { scopes: ['platform:usage:write'] }));
    const [first, second] = (await Promise.all(keys)) as [TestApiKey, TestApiKey];
    const byKey = ({ id, secret }: TestApiKey): Service => ({
      client: app.anonymous.withApiKey(secret),
      userId: other.id,
      apiKeyId: id,
    });
    services = [
      { client: user.client, userId: user.id, apiKeyId: null },
      { client: other.client, userId: other.id, apiKeyId: null },
      byKey(first),
      byKey(second),
    ];
  });
  afterAll(() => app.stop());

  const totalOf = async (key: TestApiKey) =>
    (await app.admin.get(`/api-keys/${key.id}/usage`)).body as Record<string, unknown>;

  it('an event counts once for each reporter that names it, and says who reported it', async () => {
    const key = await app.apiKey();
    const event = usageEvent(key.id, { request_id: 'same' });
    for (const { client } of services) {
      expect((await client.post('/usage', event)).body).toMatchObject({ accepted: 1, duplicates: 0 });
      expect((await client.post('/usage', [event, event])).body).toMatchObject({
        accepted: 0,
        duplicates: 2,
      });
    }
    expect(await totalOf(key)).toMatchObject({ total_requests: services.length });
    const stored = await app.database.query(
      `SELECT reported_by_user_id::int AS "userId", reported_by_api_key_id::int AS "apiKeyId" FROM usage_events
       WHERE api_key_id = $1 ORDER BY id`,
      [key.id],
    );
    expect(stored).toEqual(services.map(({ userId, apiKeyId }) => ({ userId, apiKeyId })));
  });

  it('reporters that come together in one group keep their request ids apart', async () => {
    const key = await app.apiKey();
    const ids = Array.from({ length: 20 }, (_, index) => `r${index}`);
    const answers = await Promise.all(
      services.flatMap(({ client }) =>
        ids.flatMap((request_id) =>
          [1, 2].map(() => client.post('/usage', usageEvent(key.id, { request_id }))),
        ),
      ),
    );
    const accepted = answers.reduce((sum, { body }) => sum + Number(body['accepted']), 0);
    expect(accepted).toBe(services.length * ids.length);
    expect(await totalOf(key)).toMatchObject({ total_requests: services.length * ids.length });
  });

  it('a hold is the caller’s: the same request id of others takes another', async () => {
    const key = await keyWithBudget(app, 1_000);
    const ids = new Set<string>();
    for (const { client, userId, apiKeyId } of services) {
      const first = await askToHold(client, key, 10, { request_id: 'same' });
      expect((await askToHold(client, key, 10, { request_id: 'same' })).body['id']).toBe(first.body['id']);
      ids.add(String(first.body['id']));
      const [stored] = await app.database.query(
        `SELECT taken_by_user_id::int AS "userId", taken_by_api_key_id::int AS "apiKeyId" FROM budget_holds WHERE id = $1`,
        [first.body['id']],
      );
      expect(stored).toEqual({ userId, apiKeyId });
    }
    expect(ids.size).toBe(services.length);
  });

  it('others find no such hold, whatever they would do with it, also at the same moment', async () => {
    const key = await keyWithBudget(app, 100);
    for (const [place, { client }] of services.entries()) {
      const id = await heldId(client, key, 10);
      const others = services.filter((_service, other) => other !== place);
      const attempts = await Promise.all(
        others.flatMap((other) => [
          step(other.client, id, 'settle', { cost_cents: 1 }),
          step(other.client, id, 'release'),
          step(other.client, id, 'extend', { ttl_seconds: 600 }),
        ]),
      );
      for (const attempt of attempts) expectProblem(attempt, 'budget_hold.not_found');
      const [other] = others;
      const event = usageEvent(key.id, { hold_id: id });
      expectInvalid(await other!.client.post('/usage', event), {
        field: 'hold_id',
        message: expect.stringContaining('that you took'),
      });
      const [mine, theirs] = await Promise.all([
        step(client, id, 'extend', { ttl_seconds: 600 }),
        step(other!.client, id, 'extend', { ttl_seconds: 86_400 }),
      ]);
      expect([mine.status, theirs.status]).toEqual([200, 404]);
      expect(Date.parse(mine.body['expires_at'])).toBeLessThan(Date.now() + 3_600_000);
      expect((await step(client, id, 'settle', { cost_cents: 1 })).status).toBe(200);
    }
    expect((await storedAccount(app.database, key.id)).spent).toBe(BigInt(services.length) * 1_000_000n);
  });

  it('with platform:budgets:update a hold of others may be released, and nothing else', async () => {
    const key = await keyWithBudget(app, 100);
    const operator = (await app.user({ permissions: ['platform:budgets:update'] })).client;
    const id = await heldId(user.client, key, 10);
    for (const [action, body] of [
      ['settle', { cost_cents: 1 }],
      ['extend', { ttl_seconds: 60 }],
    ] as const) {
      expectProblem(await step(operator, id, action, body), 'permission.denied');
      expectProblem(await step(app.admin, id, action, body), 'budget_hold.not_found');
    }
    expect((await step(operator, id, 'release')).body).toMatchObject({ id, status: 'released' });
    expect((await step(app.admin, await heldId(user.client, key, 10), 'release')).status).toBe(200);
    expect((await storedAccount(app.database, key.id)).held).toBe(0n);
  });

  it('a hold that a verdict took is the caller’s as well', async () => {
    const key = await keyWithBudget(app, 100);
    const verdict = await user.client.post('/api-keys/verify', {
      key: key.secret,
      hold_cents: 10,
      hold_ttl_seconds: 60,
    });
    const id = String(verdict.body['hold_id']);
    expectProblem(await step(services[1].client, id, 'settle', { cost_cents: 1 }), 'budget_hold.not_found');
    expect((await step(user.client, id, 'settle', { cost_cents: 1 })).status).toBe(200);
  });

  it('nobody takes the request id of a settlement before it comes', async () => {
    const key = await keyWithBudget(app, 100);
    const id = await heldId(user.client, key, 10);
    const message = 'must not begin with hold:';
    for (const request_id of [`hold:${id}`, 'hold:', `hold:${randomUUID()}`]) {
      const event = usageEvent(key.id, { request_id, cost_cents: 0 });
      expectInvalid(await user.client.post('/usage', event), { field: 'request_id', message });
      expect((await user.client.post('/usage', [event])).body['rejected']).toEqual([
        { index: 0, errors: [{ field: 'request_id', message }] },
      ]);
      expectInvalid(await step(user.client, id, 'settle', { cost_cents: 1, request_id }), {
        field: 'request_id',
        message,
      });
      expectInvalid(await askToHold(user.client, key, 1, { request_id }), { field: 'request_id', message });
    }
    expect((await step(user.client, id, 'settle', { cost_cents: 7 })).body).toMatchObject({
      status: 'settled',
      budget: { spent_cents_decimal: '7.000000' },
    });
  });

  it.each<[string, Record<string, unknown>]>([
    ['cost', { cost_cents: 2 }],
    ['endpoint', { endpoint: '/other' }],
    ['method', { method: 'GET' }],
    ['model', { model: null }],
    ['tokens of the request', { request_tokens: 7 }],
    ['tokens of the response', { response_tokens: 7 }],
    ['status', { status_code: 500 }],
    ['response time', { response_time_ms: 3 }],
    ['time', { occurred_at: new Date(Date.now() - 5_000).toISOString() }],
  ])(
    'a repeated request id with another %s is a duplicate, and named as a conflict',
    async (_what, other) => {
      const key = await app.apiKey();
      const event = usageEvent(key.id, { cost_cents: 1 });
      const { request_id } = event;
      await user.client.post('/usage', event);
      expect((await user.client.post('/usage', { ...event, ...other })).body).toEqual({
        accepted: 0,
        duplicates: 1,
        conflicts: [{ index: 0, request_id }],
        rejected: [],
      });
      const next = usageEvent(key.id);
      const broken = { ...next, method: 7 };
      const batch = [broken, event, next, { ...event, ...other }, { ...next, ...other }];
      expect((await user.client.post('/usage', batch)).body).toMatchObject({
        accepted: 1,
        duplicates: 3,
        conflicts: [
          { index: 3, request_id },
          { index: 4, request_id: next['request_id'] },
        ],
        rejected: [{ index: 0 }],
      });
      const id = await heldId(user.client, key, 10);
      const settling = usageEvent(key.id, { hold_id: id });
      const mixed = [settling, { ...settling, ...other }, { ...event, ...other }, event];
      expect((await user.client.post('/usage', mixed)).body).toMatchObject({
        accepted: 1,
        duplicates: 3,
        conflicts: [{ index: 1 }, { index: 2 }],
      });
      expect(await totalOf(key)).toMatchObject({ total_requests: 3 });
    },
  );

  it('the same amount written in another way is the same event', async () => {
    const key = await app.apiKey();
    const event = usageEvent(key.id, { cost_cents: '0.50' });
    await user.client.post('/usage', event);
    const again = await user.client.post('/usage', { ...event, cost_cents: 0.5 });
    expect(again.body).toMatchObject({ duplicates: 1, conflicts: [] });
  });

  it('a repeated request id of a hold with another amount is a conflict, also in one group', async () => {
    const key = await keyWithBudget(app, 1_000);
    const first = await askToHold(user.client, key, 10, { request_id: 'again' });
    expectProblem(await askToHold(user.client, key, 11, { request_id: 'again' }), 'budget_hold.conflict');
    expect((await askToHold(user.client, key, '10.0', { request_id: 'again' })).body).toEqual(first.body);
    const answers = await Promise.all(
      [20, 21, 20, 22].map((amount) => askToHold(user.client, key, amount, { request_id: 'at once' })),
    );
    const granted = answers
      .filter(({ status }) => status === 201)
      .map(({ body }) => body['amount_cents_decimal']);
    expect(new Set(granted).size).toBe(1);
    for (const answer of answers) if (answer.status !== 201) expectProblem(answer, 'budget_hold.conflict');
    const held = 10_000_000n + BigInt(String(granted[0]).replace('.', ''));
    expect((await storedAccount(app.database, key.id)).held).toBe(held);
  });
});
