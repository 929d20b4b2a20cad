import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { isAccepted, setPermissions, untilAnswered } from '../support/api-keys.js';
import { askToHold } from '../support/budgets.js';
import { createTestDatabase, type TestDatabase } from '../support/database.js';
import { expectProblem } from '../support/problems.js';
import { TestApp, type TestApiKey } from '../support/test-app.js';
import { codeOf, settle, verdictOf } from '../verification/verdicts.js';
import {
  giveToServiceAccount,
  keyIn,
  newPlace,
  type Place,
  setOrganizationPolicy,
  setPolicy,
} from './policies.js';

const DAY_MS = 86_400_000;
const BOUND_MS = 5_000;
const IS_LONG = process.env['LATCHKEY_LONG'] === '1';
const TRIALS = IS_LONG ? 60 : 12;

describe('a policy that is enforced for all keys', () => {
  let database: TestDatabase;
  let app: TestApp;
  let another: TestApp;
  beforeAll(async () => {
    database = await createTestDatabase();
    app = await TestApp.start({ database });
    another = await TestApp.start({ database });
  });
  afterAll(async () => {
    await Promise.all([app.stop(), another.stop()]);
    await database.drop();
  });

  const code = ({ secret }: TestApiKey, asked = {}) => codeOf(app.admin, secret, asked);

  it('refuses keys that break it with POLICY_VIOLATION, after DISABLED and EXPIRED and before all else', async () => {
    const place = await newPlace(app.admin);
    const [good, bad] = [
      await keyIn(app, place, { name: 'a' }),
      await keyIn(app, place, { allowed_ips: ['10.0.0.1'] }),
    ];
    await setPolicy(app, place, { name_pattern: 'a' });
    expect(await code(bad)).toBe('IP_NOT_ALLOWED');
    await setPolicy(app, place, { enforcement: 'all' });
    expect([await code(good), await code(bad)]).toEqual(['VALID', 'POLICY_VIOLATION']);
    const explained = await verdictOf(app.admin, bad.secret, { explain: true });
    expect(explained['rules'][2]).toMatchObject({
      code: 'POLICY_VIOLATION',
      passed: false,
      inputs: { breaks_policy: true, breaks_policy_from: null },
    });
    await app.admin.post(`/api-keys/${bad.id}/deactivate`);
    expect(await code(bad)).toBe('DISABLED');
    expect(await code(good)).toBe('VALID');
    // It is refused, and stays: mended, it is what it was.
    expect((await app.admin.put(`/api-keys/${bad.id}`, { name: 'a', is_active: true })).status).toBe(200);
    expect(await code(bad, { ip: '10.0.0.1' })).toBe('VALID');
  });

  it('refuses them at a gateway, in introspection, for holds, and as credentials', async () => {
    const place = await newPlace(app.admin);
    const service = await app.user({ role: 'service' });
    const scopes = ['platform:api-keys:read'];
    const bad = await keyIn(app, place, { scopes });
    const ask = { key: bad.secret, amount_cents: 1, ttl_seconds: 60 };
    const before = await askToHold(service.client, bad, 1, { request_id: 'before' });
    expect([before.status, await isAccepted(app, bad.secret)]).toEqual([201, true]);
    await setPolicy(app, place, { name_pattern: 'a', enforcement: 'all' });
    expect(await isAccepted(app, bad.secret)).toBe(false);
    const gateway = await app.anonymous.withApiKey(bad.secret).get('/forward-auth');
    expectProblem(gateway, 'verdict.not_allowed');
    expect(gateway.headers.get('x-api-key-code')).toBe('POLICY_VIOLATION');
    const introspected = await service.client.send('POST', '/introspect', {
      rawBody: `token=${bad.secret}`,
      headers: { 'content-type': 'application/x-www-form-urlencoded' },
    });
    expect(introspected.body).toEqual({ active: false });
    const [byId, bySecret] = [
      await askToHold(service.client, bad, 1),
      await service.client.post('/budget-holds', ask),
    ];
    for (const refusal of [byId, bySecret]) {
      expectProblem(refusal, 'budget_hold.key_refused');
      expect(refusal.body['verdict']).toBe('POLICY_VIOLATION');
    }
    // What was granted before is granted.
    const again = await askToHold(service.client, bad, 1, { request_id: 'before' });
    expect([again.status, again.body['id']]).toEqual([201, before.body['id']]);
    const verdict = await verdictOf(service.client, bad.secret, { hold_cents: 1, hold_ttl_seconds: 9 });
    expect(verdict).toMatchObject({ valid: false, code: 'POLICY_VIOLATION' });
    await app.database.query('UPDATE api_keys SET is_active = false WHERE id = $1', [bad.id]);
    await settle(app);
    const disabled = await askToHold(service.client, bad, 1);
    expect(disabled.body['verdict']).toBe('DISABLED');
  });

  it('begins with the very millisecond that it names, and with the age of a secret', async () => {
    const place = await newPlace(app.admin);
    const key = await keyIn(app, place, { name: 'b' });
    const now = Date.now();
    const codeAt = async (ms: number) => {
      app.clock.stopAt(ms);
      try {
        return await code(key);
      } finally {
        app.clock.goOn();
      }
    };
    const enforced_from = new Date(now + 600_000).toISOString();
    await setPolicy(app, place, { name_pattern: 'a', enforcement: 'all', enforced_from });
    expect([await codeAt(now + 599_999), await codeAt(now + 600_000)]).toEqual(['VALID', 'POLICY_VIOLATION']);
    const createdAt = now - 10 * DAY_MS + 600_000;
    await database.query('UPDATE api_key_secrets SET created_at = $2 WHERE api_key_id = $1', [
      key.id,
      new Date(createdAt),
    ]);
    await setPolicy(app, place, { name_pattern: null, enforced_from: null, rotate_after_days: 10 });
    expect([await codeAt(now + 599_999), await codeAt(now + 600_000)]).toEqual(['VALID', 'POLICY_VIOLATION']);
    // A former secret keeps its grace period, however old it is.
    await database.query('UPDATE api_key_secrets SET created_at = $2 WHERE api_key_id = $1', [
      key.id,
      new Date(now - 20 * DAY_MS),
    ]);
    await setPolicy(app, place, { rotate_after_days: 11 });
    expect(await code(key)).toBe('POLICY_VIOLATION');
    expect(
      (await app.admin.post(`/api-keys/${key.id}/regenerate`, { grace_period_seconds: 600 })).status,
    ).toBe(200);
    expect(await code(key)).toBe('VALID');
  });

  it('reaches another instance within the bound of revocation, and is lifted there as well', async () => {
    for (const set of [setPolicy, setOrganizationPolicy]) {
      const place = await newPlace(app.admin);
      const key = await keyIn(app, place);
      const becomes = (expected: string) =>
        vi.waitFor(async () => expect(await codeOf(another.admin, key.secret)).toBe(expected), {
          timeout: BOUND_MS,
          interval: 5,
        });
      await becomes('VALID');
      await set(app, place, { name_pattern: 'a', enforcement: 'all' });
      expect(await code(key)).toBe('POLICY_VIOLATION');
      await becomes('POLICY_VIOLATION');
      for (let n = 0; n < 5; n += 1) expect(await codeOf(another.admin, key.secret)).toBe('POLICY_VIOLATION');
      await set(app, place, { enforcement: 'new_keys' });
      await becomes('VALID');
    }
  });

  it('binds the keys of its own organization or project alone', async () => {
    const [there, elsewhere] = [await newPlace(app.admin), await newPlace(app.admin)];
    const slug = { slug: 'beside', name: 'Beside' };
    const created = await app.admin.post(`/organizations/${there.organizationId}/projects`, slug);
    const beside = { ...there, projectId: Number(created.body['id']) };
    const keys = [await keyIn(app, there), await keyIn(app, beside), await keyIn(app, elsewhere)];
    const codes = () => Promise.all(keys.map((key) => code(key)));
    await setPolicy(app, there, { name_pattern: 'a', enforcement: 'all' });
    expect(await codes()).toEqual(['POLICY_VIOLATION', 'VALID', 'VALID']);
    await setPolicy(app, there, { enforcement: 'new_keys' });
    await setOrganizationPolicy(app, there, { name_pattern: 'a', enforcement: 'all' });
    expect(await codes()).toEqual(['POLICY_VIOLATION', 'POLICY_VIOLATION', 'VALID']);
  });

  describe('tried first', () => {
    const chance = seeded(20_260_101);
    const pick = <Value>(...values: readonly Value[]): Value => values[Math.floor(chance() * values.length)]!;

    /** Keys of every kind in a project: obedient, disobedient, expired, switched off, children of each other. */
    async function variousKeys(place: Place, count: number): Promise<TestApiKey[]> {
      const keys: TestApiKey[] = [];
      for (let n = 0; n < count; n += 1) keys.push(await keyIn(app, place, fields()));
      const parent = await keyIn(app, place, { name: 'a-parent', scopes: ['platform:api-keys:create', 'a'] });
      const child = app.anonymous.withApiKey(parent.secret);
      for (let n = 0; n < 6; n += 1) keys.push(await app.apiKey(child, { name: pick('a-child', 'child') }));
      const some = (share: number) => keys.filter(() => chance() < share).map(({ id }) => id);
      await giveToServiceAccount(app, place, some(0.3));
      await database.query('UPDATE api_keys SET is_active = false WHERE id = ANY ($1)', [some(0.1)]);
      await database.query(`UPDATE api_keys SET expires_at = now() - interval '1 s' WHERE id = ANY ($1)`, [
        some(0.1),
      ]);
      for (const days of [3, 15, 40])
        await database.query(
          `UPDATE api_key_secrets SET created_at = now() - $2 * interval '1 day' WHERE api_key_id = ANY ($1)`,
          [some(0.2), days],
        );
      return [...keys, parent];
    }

    function fields(): Record<string, unknown> {
      const days = pick(null, 5, 20, 80);
      return {
        name: pick('a-one', 'a-two', 'b-one', 'c'),
        scopes: pick<string[]>([], ['a'], ['a', 'b:read'], ['b:write']),
        allowed_ips: pick<string[]>([], ['10.0.0.1'], ['10.0.0.0/16'], ['10.0.0.0/8', '192.0.2.1']),
        allowed_models: pick<string[]>([], ['gpt-4o'], ['gpt-*'], ['o3', 'gpt-4o']),
        expires_at: days === null ? null : new Date(Date.now() + days * DAY_MS).toISOString(),
        ...pick({}, {}, { is_unlimited: false, budget_limit_cents: pick(10, 1_000) }),
      };
    }

    /** Some rules, each of them now and then. */
    function someRules(): Record<string, unknown> {
      const all = {
        max_ttl_days: pick(10, 30, 90),
        required_ips: pick(['10.0.0.0/8'], ['10.0.0.0/16', '192.0.2.0/24']),
        allowed_scopes: pick(['a'], ['a', 'b:*'], ['platform:*', 'a']),
        allowed_models: pick(['gpt-*'], ['gpt-4*', 'o3']),
        name_pattern: pick('a-*', '*-one', '*'),
        require_budget: true,
        max_budget_cents: pick(10, 500),
        personal_keys: pick('deny', 'allow'),
        rotate_after_days: pick(2, 10, 30),
        max_keys: 0,
      };
      return Object.fromEntries(
        Object.entries(all).map(([name, value]) => [name, chance() < 0.25 ? value : null]),
      );
    }

    it(
      `names exactly the keys that it then refuses, in ${TRIALS} random policies`,
      { timeout: 120_000 },
      async () => {
        const place = await newPlace(app.admin);
        const keys = await variousKeys(place, 40);
        let refusedInAll = 0;
        for (let n = 0; n < TRIALS; n += 1) {
          const ofOrganization = n % 2 === 0;
          const [kind, id] = ofOrganization
            ? ['organizations', place.organizationId]
            : ['projects', place.projectId];
          const rules = { ...someRules(), enforcement: 'new_keys' };
          const path = `/${kind}/${id}/policy`;
          const tried = await app.admin.put(`${path}?dry_run=true`, rules);
          expect([tried.status, tried.text]).toEqual([200, expect.anything()]);
          expect((await app.admin.get(path)).body['name_pattern']).toBe(null);
          const named = (tried.body['api_keys'] as { id: number }[]).map((key) => key.id);
          expect(tried.body['would_be_refused']).toBe(named.length);
          expect((await app.admin.put(path, { ...rules, enforcement: 'all' })).status).toBe(200);
          const refused: number[] = [];
          for (const { id: keyId, secret } of keys) {
            const ask = () => app.admin.post('/api-keys/verify', { key: secret });
            if ((await untilAnswered(ask)).body['code'] === 'POLICY_VIOLATION') refused.push(keyId);
          }
          expect({ rules, named }).toEqual({ rules, named: refused.toSorted((a, b) => a - b) });
          refusedInAll += refused.length;
          const cleared = Object.fromEntries(Object.keys(rules).map((name) => [name, null]));
          await app.admin.put(path, cleared);
        }
        expect(refusedInAll).toBeGreaterThan(TRIALS);
      },
    );

    it('names the keys, their owners, projects and broken rules, the first hundred of them', async () => {
      const place = await newPlace(app.admin);
      const keys: TestApiKey[] = [];
      for (let n = 0; n < 103; n += 1) keys.push(await keyIn(app, place, { name: `key ${n}` }));
      const path = `/projects/${place.projectId}/policy?dry_run=true`;
      const { body } = await app.admin.put(path, { name_pattern: 'a', require_budget: true });
      expect(body).toMatchObject({
        project_id: place.projectId,
        name_pattern: 'a',
        would_be_refused: 103,
        broken_rules: [
          { rule: 'name_pattern', total: 103 },
          { rule: 'require_budget', total: 103 },
        ],
      });
      expect(body['api_keys']).toHaveLength(100);
      expect(body['api_keys'][0]).toEqual({
        id: keys[0]!.id,
        name: 'key 0',
        user_id: 1,
        project_id: place.projectId,
        rules: ['name_pattern', 'require_budget'],
      });
    });

    it('shows them to those alone who may read keys there', async () => {
      const place = await newPlace(app.admin);
      const other = await app.user({ permissions: ['platform:policies:*'] });
      const path = `/projects/${place.projectId}/policy?dry_run=true`;
      expectProblem(await other.client.put(path, {}), 'project.not_found');
      await setPermissions(app, other, ['platform:policies:*', 'platform:api-keys:read']);
      expect((await other.client.put(path, {})).status).toBe(200);
    });
  });
});

/** Numbers from 0 to 1 that are the same in every run (mulberry32). */
function seeded(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
}
