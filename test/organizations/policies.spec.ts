import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { untilAnswered, UTC_TIMESTAMP } from '../support/api-keys.js';
import { expectOneAuditRow } from '../support/audit-trail.js';
import { expectInvalid, expectProblem } from '../support/problems.js';
import { TestApp } from '../support/test-app.js';
import {
  giveToServiceAccount,
  keyIn,
  newPlace,
  type Place,
  setOrganizationPolicy,
  setPolicy,
} from './policies.js';

const DAY_MS = 86_400_000;
const NO_RULES = {
  max_ttl_days: null,
  default_ttl_days: null,
  required_ips: null,
  allowed_scopes: null,
  allowed_models: null,
  name_pattern: null,
  max_keys: null,
  max_keys_per_member: null,
  require_budget: null,
  max_budget_cents: null,
  personal_keys: null,
  rotate_after_days: null,
  enforcement: null,
  enforced_from: null,
};

describe('policies', () => {
  let app: TestApp;
  /** Another instance over the same database. */
  let another: TestApp;
  let place: Place;
  beforeAll(async () => {
    app = await TestApp.start();
    another = await TestApp.start({ database: app.database });
  });
  afterAll(async () => {
    await another.stop();
    await app.stop();
  });

  const inDays = (days: number) => new Date(app.clock.nowMs() + days * DAY_MS).toISOString();
  const by = (rule: string, level = 'project') =>
    expect.stringMatching(new RegExp(`\\(${rule} of the policy of the ${level}\\)$`)) as unknown;
  const create = (fields: Readonly<Record<string, unknown>> = {}) =>
    app.admin.post('/api-keys', { name: 'A key', project_id: place.projectId, ...fields });

  describe('as a resource', () => {
    beforeAll(async () => {
      place = await newPlace(app.admin);
    });

    it('bind nothing before anybody sets them', async () => {
      const answer = await app.admin.get(`/organizations/${place.organizationId}/policy`);
      expect(answer.status).toBe(200);
      expect(answer.headers.get('etag')).toBe('"1"');
      expect(answer.body).toEqual({
        organization_id: place.organizationId,
        project_id: null,
        ...NO_RULES,
        inherited: null,
        updated_at: null,
      });
    });

    it('are changed rule by rule, cleared by null, and shown to projects', async () => {
      const path = `/organizations/${place.organizationId}/policy`;
      const rules = {
        max_ttl_days: 90,
        allowed_models: ['gpt-4*'],
        enforced_from: '2030-01-01T01:00:00+01:00',
      };
      const first = await app.admin.put(path, rules);
      expect([first.status, first.headers.get('etag')]).toEqual([200, '"2"']);
      const second = await app.admin.put(path, { allowed_models: null, personal_keys: 'allow' });
      const expected = {
        ...NO_RULES,
        max_ttl_days: 90,
        personal_keys: 'allow',
        enforced_from: '2030-01-01T00:00:00.000Z',
      };
      expect(second.body).toMatchObject({
        ...expected,
        updated_at: expect.stringMatching(UTC_TIMESTAMP) as unknown,
      });
      expect((await app.admin.get(path)).body).toEqual(second.body);
      const own = await app.admin.get(`/projects/${place.projectId}/policy`);
      expect(own.body).toMatchObject({ ...NO_RULES, project_id: place.projectId, inherited: expected });
    });

    it('are changed by one of two who have read the same', async () => {
      const path = `/projects/${place.projectId}/policy`;
      const etag = String((await app.admin.get(path)).headers.get('etag'));
      const tries = await Promise.all(
        [11, 12].map((days) => app.admin.put(path, { max_ttl_days: days }, { 'if-match': etag })),
      );
      const [won, lost] = tries.toSorted((a, b) => a.status - b.status);
      expect(won!.status).toBe(200);
      expectProblem(lost!, 'policy.version_mismatch');
      expect((await app.admin.get(path)).body['max_ttl_days']).toBe(won!.body['max_ttl_days']);
    });

    it('leave an audit row each, with the rules before and after', async () => {
      const { organizationId, projectId } = await newPlace(app.admin);
      const [ofOrganization, ofProject] = [
        `/organizations/${organizationId}/policy`,
        `/projects/${projectId}/policy`,
      ];
      await expectOneAuditRow(app.database, await app.admin.get(ofOrganization), {
        action: 'get_organization_policy',
        resource_type: 'policy',
        resource_id: String(organizationId),
      });
      await expectOneAuditRow(app.database, await app.admin.put(ofProject, { max_keys: 3 }), {
        action: 'update_project_policy',
        resource_type: 'policy',
        resource_id: String(projectId),
        details: {
          updated_fields: ['max_keys'],
          before_values: { max_keys: null },
          after_values: { max_keys: 3 },
        },
      });
      await expectOneAuditRow(
        app.database,
        await app.admin.put(`${ofProject}?dry_run=true`, { max_keys: 2 }),
        {
          action: 'update_project_policy',
          details: { dry_run: true, would_be_refused: 0 },
        },
      );
      const [row] = await app.database.query('SELECT rules FROM policies WHERE project_id = $1', [projectId]);
      expect(row).toEqual({ rules: { max_keys: 3 } });
    });

    it('of a project never say less than those of its organization', async () => {
      const there = await newPlace(app.admin);
      await setOrganizationPolicy(app, there, {
        max_ttl_days: 30,
        personal_keys: 'deny',
        required_ips: ['10.0.0.0/8'],
      });
      const wider = { max_ttl_days: 31, personal_keys: 'allow', required_ips: ['0.0.0.0/0'], max_keys: 5 };
      const path = `/projects/${there.projectId}/policy`;
      const message = expect.stringMatching(/as the policy of the organization has it$/) as unknown;
      const fields = ['max_ttl_days', 'personal_keys', 'required_ips'].map((field) => ({ field, message }));
      expectInvalid(await app.admin.put(path, wider), ...fields);
      expectInvalid(await app.admin.put(`${path}?dry_run=true`, wider), ...fields);
      await setPolicy(app, there, { max_ttl_days: 30, required_ips: ['10.1.0.0/16'] });
      // What the organization tightens later binds beside what the project says.
      await setOrganizationPolicy(app, there, { max_ttl_days: 7 });
      await setPolicy(app, there, { max_keys: 5 });
    });

    it('refuse rules that contradict each other, and values that are none', async () => {
      const path = `/organizations/${place.organizationId}/policy`;
      expectInvalid(await app.admin.put(path, { max_ttl_days: 5, default_ttl_days: 6 }), {
        field: 'default_ttl_days',
        message: 'must be at most 5, the max_ttl_days',
      });
      const wrong = {
        max_ttl_days: 0,
        required_ips: ['here'],
        personal_keys: 'no',
        enforcement: 'some',
        unknown: 1,
      };
      const answer = await app.admin.put(path, wrong);
      expectProblem(answer, 'validation.failed');
      const fields = (answer.body['errors'] as { field: string }[]).map(({ field }) => field);
      expect(fields.toSorted()).toEqual(Object.keys(wrong).toSorted());
    });

    it('are read and changed with the permission there, and unknown to strangers', async () => {
      const there = await newPlace(app.admin);
      const [member, stranger] = [await app.user(), await app.user()];
      const path = `/projects/${there.projectId}`;
      await app.admin.post(`${path}/members`, { user_id: member.id, role: 'project_developer' });
      expect((await member.client.get(`${path}/policy`)).status).toBe(200);
      expectProblem(await member.client.put(`${path}/policy`, {}), 'permission.denied');
      expectProblem(await stranger.client.get(`${path}/policy`), 'project.not_found');
      expectProblem(
        await member.client.get(`/organizations/${there.organizationId}/policy`),
        'permission.denied',
      );
      const reader = await app.user({ permissions: ['platform:policies:update'] });
      expect((await reader.client.put(`${path}/policy`, { max_keys: 9 })).status).toBe(200);
      const refused = await reader.client.put(`${path}/policy?dry_run=true`, { max_keys: 9 });
      expect(refused.status).toBeGreaterThanOrEqual(403);
    });
  });

  describe('that bind new keys', () => {
    beforeAll(async () => {
      place = await newPlace(app.admin);
      await setOrganizationPolicy(app, place, { max_ttl_days: 30, default_ttl_days: 20, name_pattern: 'a*' });
      await setPolicy(app, place, {
        allowed_scopes: ['chat:*'],
        max_budget_cents: 500,
        required_ips: ['10.0.0.0/8'],
        allowed_models: ['gpt-*'],
      });
    });
    const GOOD = {
      name: 'a key',
      is_unlimited: false,
      budget_limit_cents: 500,
      allowed_ips: ['10.0.0.1'],
      allowed_models: ['gpt-4*'],
    };

    it('refuse one that breaks them, naming each field, rule and policy', async () => {
      const answer = await create({ name: 'B', scopes: ['chat:read', 'admin'], expires_at: inDays(31) });
      expectInvalid(
        answer,
        { field: 'name', message: by('name_pattern', 'organization') },
        { field: 'expires_at', message: by('max_ttl_days', 'organization') },
        { field: 'scopes', message: by('allowed_scopes') },
        { field: 'budget_limit_cents', message: by('max_budget_cents') },
        { field: 'allowed_ips', message: by('required_ips') },
        { field: 'allowed_models', message: by('allowed_models') },
      );
    });

    it('give one without an expiry theirs, and let one that obeys be', async () => {
      const before = app.clock.nowMs();
      const answer = await create(GOOD);
      expect([answer.status, answer.text]).toEqual([201, expect.anything()]);
      const expiresAt = Date.parse(String(answer.body['api_key'].expires_at));
      expect(expiresAt).toBeGreaterThanOrEqual(before + 20 * DAY_MS);
      expect(expiresAt).toBeLessThanOrEqual(app.clock.nowMs() + 20 * DAY_MS);
      const stated = await create({ ...GOOD, expires_at: inDays(29) });
      expect(stated.status).toBe(201);
      expectInvalid(await create({ ...GOOD, expires_at: null }), {
        field: 'expires_at',
        message: by('max_ttl_days', 'organization'),
      });
    });

    it('judge of a changed key what is changed, and of one that is switched on or regenerated all of it', async () => {
      const there = await newPlace(app.admin);
      const key = await keyIn(app, there, { name: 'B' });
      const path = `/api-keys/${key.id}`;
      await setPolicy(app, there, { name_pattern: 'a*', max_budget_cents: 5 });
      const name = { field: 'name', message: by('name_pattern') };
      const budget = { field: 'budget_limit_cents', message: by('max_budget_cents') };
      expect((await app.admin.put(path, { description: 'Another' })).status).toBe(200);
      expectInvalid(await app.admin.put(path, { name: 'C' }), name);
      expectInvalid(await app.admin.put(path, { is_unlimited: false, budget_limit_cents: 6 }), budget);
      expectInvalid(await app.admin.post(`${path}/regenerate`, {}), name, budget);
      // Switching it on where it is on already changes nothing.
      expect((await app.admin.post(`${path}/activate`)).status).toBe(200);
      expect((await app.admin.post(`${path}/deactivate`)).status).toBe(200);
      expectInvalid(await app.admin.post(`${path}/activate`), name, budget);
      expectInvalid(await app.admin.put(path, { is_active: true }), name, budget);
      const mended = { name: 'a', is_unlimited: false, budget_limit_cents: 5 };
      expect((await app.admin.put(path, { ...mended, is_active: true })).status).toBe(200);
      expect((await app.admin.post(`${path}/regenerate`, {})).status).toBe(200);
    });

    it('ask for a new secret before one that is too old is switched on again', async () => {
      const there = await newPlace(app.admin);
      const { id } = await keyIn(app, there);
      await setPolicy(app, there, { rotate_after_days: 10 });
      await app.database.query(
        `UPDATE api_key_secrets SET created_at = now() - interval '11 days' WHERE api_key_id = $1`,
        [id],
      );
      await app.admin.post(`/api-keys/${id}/deactivate`);
      expectInvalid(await app.admin.post(`/api-keys/${id}/activate`), {
        field: 'secrets',
        message: by('rotate_after_days'),
      });
      expect((await app.admin.post(`/api-keys/${id}/regenerate`, {})).status).toBe(200);
      expect((await app.admin.post(`/api-keys/${id}/activate`)).status).toBe(200);
    });

    it('keep persons from having keys where only service accounts may', async () => {
      const there = await newPlace(app.admin);
      const scopes = ['platform:api-keys:create'];
      const [first, second] = [await keyIn(app, there), await keyIn(app, there, { scopes })];
      await giveToServiceAccount(app, there, [second.id]);
      await setPolicy(app, there, { personal_keys: 'deny' });
      const message = by('personal_keys');
      const asked = { name: 'A key', project_id: there.projectId };
      expectInvalid(await app.admin.post('/api-keys', asked), { field: 'user_id', message });
      expectInvalid(await app.admin.post(`/api-keys/${first.id}/regenerate`, {}), {
        field: 'user_id',
        message,
      });
      expect((await app.admin.post(`/api-keys/${second.id}/regenerate`, {})).status).toBe(200);
    });
  });

  describe('that count keys', () => {
    const statuses = (answers: readonly { status: number }[]) =>
      answers.map(({ status }) => status).toSorted((a, b) => a - b);

    it('admit exactly as many as they allow, however many ask at once, here and on another instance', async () => {
      for (const level of ['organization', 'project']) {
        const there = await newPlace(app.admin);
        const set = level === 'organization' ? setOrganizationPolicy : setPolicy;
        await set(app, there, { max_keys: 5 });
        const asked = { name: 'A key', project_id: there.projectId };
        const answers = await Promise.all(
          Array.from({ length: 24 }, (_, n) =>
            untilAnswered(() => (n % 2 === 0 ? app : another).admin.post('/api-keys', asked)),
          ),
        );
        expect(statuses(answers)).toEqual([...Array<number>(5).fill(201), ...Array<number>(19).fill(409)]);
        for (const answer of answers.filter(({ status }) => status === 409)) {
          const detail = `The policy of the ${level} allows 5 active API keys (max_keys).`;
          expectProblem(answer, 'policy.too_many_keys', detail);
        }
      }
    });

    it('count keys that are switched on, when one is created or switched on and at no other time', async () => {
      const there = await newPlace(app.admin);
      const [first, second, third] = [
        await keyIn(app, there),
        await keyIn(app, there),
        await keyIn(app, there),
      ];
      await setPolicy(app, there, { max_keys: 2, enforcement: 'all' });
      const paths = [first, second, third].map(({ id }) => `/api-keys/${id}`);
      expect((await app.admin.put(paths[0]!, { name: 'Another' })).status).toBe(200);
      expect((await app.admin.post(`/api-keys/${first.id}/regenerate`, {})).status).toBe(200);
      expect((await app.admin.post('/api-keys/verify', { key: second.secret })).body['code']).toBe('VALID');
      for (const path of paths) await app.admin.post(`${path}/deactivate`);
      const answers = await Promise.all(
        paths.map((path, n) =>
          untilAnswered(() =>
            n === 0 ? app.admin.put(path, { is_active: true }) : app.admin.post(`${path}/activate`),
          ),
        ),
      );
      expect(statuses(answers)).toEqual([200, 200, 409]);
      expectProblem(
        answers.find(({ status }) => status === 409)!,
        'policy.too_many_keys',
      );
      await app.admin.delete(paths[answers.findIndex(({ status }) => status === 200)]!);
      expect((await app.admin.post('/api-keys', { name: 'A key', project_id: there.projectId })).status).toBe(
        201,
      );
    });

    it('count for each person those of that person, and none of service accounts', async () => {
      const there = await newPlace(app.admin);
      const owned = await Promise.all(Array.from({ length: 3 }, () => keyIn(app, there)));
      await giveToServiceAccount(
        app,
        there,
        owned.map(({ id }) => id),
      );
      await setOrganizationPolicy(app, there, { max_keys_per_member: 2 });
      const other = await app.user({ permissions: ['platform:api-keys:create'] });
      const asked = { name: 'A key', project_id: there.projectId };
      const answers = await Promise.all(
        [app.admin, other.client].flatMap((client) =>
          Array.from({ length: 4 }, () => untilAnswered(() => client.post('/api-keys', asked))),
        ),
      );
      expect(statuses(answers.slice(0, 4))).toEqual([201, 201, 409, 409]);
      expect(statuses(answers.slice(4))).toEqual([201, 201, 409, 409]);
      expect((await app.admin.post(`/api-keys/${owned[0]!.id}/deactivate`)).status).toBe(200);
      expect((await app.admin.post(`/api-keys/${owned[0]!.id}/activate`)).status).toBe(200);
    });
  });
});
