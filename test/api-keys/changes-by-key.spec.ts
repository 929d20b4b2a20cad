import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { ApiClient } from '../support/api-client.js';
import { isAccepted } from '../support/api-keys.js';
import { expectProblem } from '../support/problems.js';
import { TestApp, type TestApiKey, type TestUser } from '../support/test-app.js';
import { FIELDS, MANAGE, PARENT, SCOPES } from './restrictions.js';

interface Key extends TestApiKey {
  readonly client: ApiClient;
}

const FAMILY = 'An API key cannot loosen or regenerate the keys of its own origin';
const STRANGER = 'An API key cannot make another key more than it is itself';
const LOOSENED = FIELDS.flatMap(({ beyond }) => beyond.map(([fields, field]) => [fields, field] as const));
/** Nothing that is counted, which no other key shares. */
const UNCOUNTED = {
  ...PARENT,
  rate_limit_per_minute: null,
  rate_limit_per_hour: null,
  rate_limit_per_day: null,
  is_unlimited: true,
  budget_limit_cents: null,
  budget_type: null,
};
const COUNTED_FIELDS = /rate_limit|is_unlimited|budget/;

describe('a key that changes keys', () => {
  let app: TestApp;
  let owner: TestUser;
  beforeAll(async () => {
    app = await TestApp.start();
    owner = await app.user({ role: 'developer' });
  });
  afterAll(() => app.stop());

  async function keyBy(client: ApiClient, fields: object): Promise<Key> {
    const key = await app.apiKey(client, { ...fields });
    return { ...key, client: app.anonymous.withApiKey(key.secret) };
  }

  /** A line of three, each restricted as the parent is, and a sibling of the last. */
  async function line(): Promise<{ top: Key; middle: Key; bottom: Key; sibling: Key }> {
    const top = await keyBy(owner.client, PARENT);
    const middle = await keyBy(top.client, { scopes: SCOPES });
    const bottom = await keyBy(middle.client, { scopes: SCOPES });
    return { top, middle, bottom, sibling: await keyBy(middle.client, { scopes: SCOPES }) };
  }

  const policyOf = async (id: number) => {
    const [row] = await app.database.query('SELECT * FROM api_keys WHERE id = $1', [id]);
    return row;
  };

  it('loosens neither itself nor what it came from nor their other children, in any field', async () => {
    const { top, middle, bottom, sibling } = await line();
    const targets = [bottom, middle, top, sibling];
    const before = await Promise.all(targets.map(({ id }) => policyOf(id)));
    for (const [index, [fields, field]] of LOOSENED.entries()) {
      for (const target of index === 0 ? targets : [bottom, targets[index % 4]!]) {
        const answer = await bottom.client.put(`/api-keys/${target.id}`, fields);
        expectProblem(answer, 'permission.denied', `${FAMILY}: ${field}.`);
      }
    }
    expect(await Promise.all(targets.map(({ id }) => policyOf(id)))).toEqual(before);
  });

  it('loosens nothing by a change that tightens something else', async () => {
    const { top } = await line();
    const answer = await top.client.put(`/api-keys/${top.id}`, {
      allowed_ips: ['127.0.0.1'],
      allowed_models: ['gpt-*', 'claude-*'],
      rate_limit_per_minute: 1_001,
    });
    expectProblem(answer, 'permission.denied', `${FAMILY}: rate_limit_per_minute, allowed_models.`);
  });

  it('may tighten itself and all others, and change what restricts nothing', async () => {
    const { top, middle, bottom, sibling } = await line();
    const stranger = await keyBy(owner.client, { scopes: ['other', 'chat'] });
    const neutral = { name: 'Other name', description: 'Other', tags: ['other'] };
    for (const target of [sibling, top, middle, bottom, stranger])
      expect((await bottom.client.put(`/api-keys/${target.id}`, neutral)).status).toBe(200);
    const tighter = {
      scopes: MANAGE,
      expires_at: '2998-01-01T00:00:00.000Z',
      rate_limit_per_minute: 999,
      allowed_ips: ['127.0.0.1'],
      allowed_models: ['gpt-4'],
      allowed_chatbots: ['help-x-bot'],
      budget_limit_cents: 499,
    };
    for (const target of [sibling, bottom, middle, top]) {
      const answer = await bottom.client.put(`/api-keys/${target.id}`, tighter);
      expect([answer.status, answer.body]).toEqual([200, expect.objectContaining(tighter)]);
    }
    const restricted = { scopes: ['other'], expires_at: tighter.expires_at, rate_limit_per_day: 7 };
    expect((await bottom.client.put(`/api-keys/${stranger.id}`, restricted)).status).toBe(200);
  });

  it('may loosen what came from it as far as it goes itself', async () => {
    const { middle, bottom } = await line();
    for (const fields of FIELDS.map(({ within }) => within[0]!))
      expect((await middle.client.put(`/api-keys/${bottom.id}`, fields)).status).toBe(200);
    const widest = Object.assign({}, ...FIELDS.map(({ within }) => within[0]!));
    expect((await middle.client.put(`/api-keys/${bottom.id}`, widest)).status).toBe(200);
  });

  it('makes no other key more than it is itself', async () => {
    const caller = await keyBy(owner.client, UNCOUNTED);
    const narrow = Object.assign({ is_unlimited: false }, ...FIELDS.map(({ within }) => within[0]!));
    for (const [fields, field] of LOOSENED) {
      if (COUNTED_FIELDS.test(field)) continue;
      const target = await keyBy(owner.client, narrow);
      const answer = await caller.client.put(`/api-keys/${target.id}`, fields);
      expectProblem(answer, 'permission.denied', `${STRANGER}: ${field}.`);
    }
  });

  it('loosens another key within itself, unless it has limits of its own that the other would not share', async () => {
    const [caller, limited] = [await keyBy(owner.client, UNCOUNTED), await keyBy(owner.client, PARENT)];
    const target = await keyBy(owner.client, { ...UNCOUNTED, scopes: [], allowed_ips: ['127.0.0.1'] });
    const wider = { scopes: ['chat'], allowed_ips: ['127.0.0.0/8'] };
    expectProblem(
      await limited.client.put(`/api-keys/${target.id}`, wider),
      'permission.denied',
      `${STRANGER}: rate_limit_per_minute, rate_limit_per_hour, rate_limit_per_day, is_unlimited.`,
    );
    expect((await caller.client.put(`/api-keys/${target.id}`, wider)).status).toBe(200);
  });

  it('activates and regenerates what came from it, and no other key of its origin', async () => {
    const { top, middle, bottom, sibling } = await line();
    for (const target of [middle, top, sibling]) {
      const answer = await bottom.client.post(`/api-keys/${target.id}/regenerate`);
      expectProblem(answer, 'permission.denied', `${FAMILY}.`);
    }
    const regenerated = await middle.client.post(`/api-keys/${bottom.id}/regenerate`);
    expect(regenerated.status).toBe(200);
    expect(await isAccepted(app, bottom.secret)).toBe(false);
    expect(await isAccepted(app, regenerated.body['secret_key'])).toBe(true);
    expect((await middle.client.post(`/api-keys/${sibling.id}/deactivate`)).status).toBe(200);
    const asBottom = app.anonymous.withApiKey(regenerated.body['secret_key']);
    for (const answer of [
      await asBottom.post(`/api-keys/${sibling.id}/activate`),
      await asBottom.put(`/api-keys/${sibling.id}`, { is_active: true }),
    ])
      expectProblem(answer, 'permission.denied', `${FAMILY}: is_active.`);
    expect((await asBottom.post(`/api-keys/${top.id}/activate`)).status).toBe(200);
    expect((await middle.client.post(`/api-keys/${sibling.id}/activate`)).status).toBe(200);
  });

  it('activates and regenerates another key only where that is no more than itself', async () => {
    const caller = await keyBy(owner.client, UNCOUNTED);
    const [within, beyond] = [
      await keyBy(owner.client, { ...UNCOUNTED, scopes: ['chat'] }),
      await keyBy(owner.client, { ...UNCOUNTED, scopes: ['chat', 'other'], expires_at: null }),
    ];
    for (const { id } of [within, beyond]) await owner.client.post(`/api-keys/${id}/deactivate`);
    for (const action of ['activate', 'regenerate']) {
      expect((await caller.client.post(`/api-keys/${within.id}/${action}`)).status).toBe(200);
      const refused = await caller.client.post(`/api-keys/${beyond.id}/${action}`);
      expectProblem(refused, 'permission.denied', `${STRANGER}: scopes, expires_at.`);
    }
    expect(await isAccepted(app, beyond.secret)).toBe(false);
  });

  it('gives itself a new secret', async () => {
    const key = await keyBy(owner.client, { scopes: MANAGE });
    const answer = await key.client.post(`/api-keys/${key.id}/regenerate`);
    expect(answer.status).toBe(200);
    expect(await isAccepted(app, key.secret)).toBe(false);
    expect(await isAccepted(app, answer.body['secret_key'])).toBe(true);
  });

  it('gives itself none with a secret in its grace period, which would outlive that', async () => {
    const key = await keyBy(owner.client, { scopes: MANAGE });
    const graceful = { grace_period_seconds: 3_600 };
    expect((await owner.client.post(`/api-keys/${key.id}/regenerate`, graceful)).status).toBe(200);
    expectProblem(
      await key.client.post(`/api-keys/${key.id}/regenerate`, graceful),
      'permission.denied',
      'A secret in its grace period cannot give anyone another secret.',
    );
  });

  it('takes power away from any key that it may change: deactivates and deletes it', async () => {
    const { middle, bottom } = await line();
    const stranger = await keyBy(owner.client, { scopes: ['other'] });
    for (const target of [stranger, middle]) {
      expect((await bottom.client.post(`/api-keys/${target.id}/deactivate`)).status).toBe(200);
      expect(await isAccepted(app, target.secret)).toBe(false);
    }
  });

  it('is held back by nothing of this where a person changes them', async () => {
    const { top } = await line();
    for (const [fields] of LOOSENED) {
      const budget = { is_unlimited: false, budget_limit_cents: 500 };
      const changes =
        'budget_limit_cents' in fields || 'budget_type' in fields ? { ...budget, ...fields } : fields;
      expect((await owner.client.put(`/api-keys/${top.id}`, changes)).status).toBe(200);
    }
  });
});
