import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { API_KEY_STATES } from '../../src/api-keys/api-key.policy.js';
import { codeOf, settle } from '../verification/verdicts.js';
import { expectInvalid } from '../support/problems.js';
import { TestApp, type TestUser } from '../support/test-app.js';

describe('the state of a key', () => {
  let app: TestApp;
  let owner: TestUser;
  let disabled: TestUser;
  let disabledProjectId: number;
  const secrets = new Map<string, string>();
  beforeAll(async () => {
    app = await TestApp.start();
    owner = await app.user({ role: 'developer' });
    disabled = await app.user({ role: 'developer' });
    const soon = new Date(app.clock.now().getTime() + 60_000).toISOString();
    const later = new Date(app.clock.now().getTime() + 3_600_000).toISOString();
    const make = async (client: typeof owner.client, name: string, fields: object, isActive = true) => {
      const { id, secret } = await app.apiKey(client, { name, ...fields });
      if (!isActive) await app.admin.post(`/api-keys/${id}/deactivate`);
      secrets.set(name, secret);
    };
    for (const [user, of] of [
      [owner, ''],
      [disabled, ' of the disabled'],
    ] as const) {
      await make(user.client, `plain${of}`, {});
      await make(user.client, `lasting${of}`, { expires_at: later });
      await make(user.client, `expired${of}`, { expires_at: soon });
      await make(user.client, `off${of}`, {}, false);
      await make(user.client, `off and expired${of}`, { expires_at: soon }, false);
    }
    const project = await app.admin.post('/organizations/1/projects', { slug: 'off', name: 'Off' });
    disabledProjectId = project.body['id'];
    const inProject = { project_id: disabledProjectId };
    await make(app.admin, 'plain of the project', inProject);
    await make(app.admin, 'off of the project', inProject, false);
    await app.admin.put(`/projects/${disabledProjectId}`, { is_active: false });
    await app.admin.put(`/users/${disabled.id}`, { is_active: false });
    app.clock.advanceSeconds(61);
    await settle(app);
  });
  afterAll(() => app.stop());

  const list = async (query: string) => {
    const { status, body } = await app.admin.get(`/api-keys?size=100&${query}`);
    expect(status).toBe(200);
    return body as { api_keys: { id: number; name: string; state: string }[]; total: number };
  };
  const names = async (query: string) => (await list(query)).api_keys.map(({ name }) => name);

  const OF_OWNER: Readonly<Record<string, string>> = {
    plain: 'active',
    lasting: 'active',
    expired: 'expired',
    off: 'inactive',
    'off and expired': 'inactive',
  };

  const STATES_ELSEWHERE: Readonly<Record<string, string>> = {
    ' of the disabled': 'owner_disabled',
    ' of the project': 'scope_disabled',
  };

  it('is shown on every key, alone and in lists, and only an active key is valid', async () => {
    for (const { id, name, state } of (await list('')).api_keys) {
      const expected = STATES_ELSEWHERE[/ of the .*/.exec(name)?.[0] ?? ''] ?? OF_OWNER[name];
      expect({ name, state }).toEqual({ name, state: expected });
      expect((await app.admin.get(`/api-keys/${id}`)).body['state']).toBe(state);
      const isValid = (await codeOf(app.admin, secrets.get(name) ?? '')) === 'VALID';
      expect({ name, isValid }).toEqual({ name, isValid: state === 'active' });
    }
  });

  it.each(API_KEY_STATES)('%s narrows a list to exactly the keys that show it', async (state) => {
    const all = (await list('')).api_keys;
    expect((await list(`project_id=${disabledProjectId}`)).total).toBe(2);
    const expected = all.filter((key) => key.state === state).map(({ id }) => id);
    const found = await list(`state=${state}`);
    expect([found.api_keys.map(({ id }) => id), found.total]).toEqual([expected, expected.length]);
    expect(expected.length > 0).toBe(state !== 'quarantined');
    const ofOwner = all.filter((key) => key.state === state && key.name in OF_OWNER);
    expect((await list(`state=${state}&user_id=${owner.id}`)).total).toBe(ofOwner.length);
  });

  it('of a key that another made is that of the deadest it came from', async () => {
    const soon = new Date(app.clock.now().getTime() + 60_000).toISOString();
    const scopes = ['platform:api-keys:create'];
    const parent = await app.apiKey(owner.client, { name: 'parent', scopes });
    const child = await app.apiKey(app.anonymous.withApiKey(parent.secret), { name: 'child', scopes });
    const grandchild = await app.apiKey(app.anonymous.withApiKey(child.secret), { name: 'grandchild' });
    const ids = [parent, child, grandchild].map(({ id }) => id).toReversed();
    const expectState = async (state: string) => {
      for (const id of ids) expect((await app.admin.get(`/api-keys/${id}`)).body['state']).toBe(state);
      for (const each of API_KEY_STATES) {
        const found = (await list(`state=${each}&user_id=${owner.id}`)).api_keys.map(({ id }) => id);
        expect([each, found.filter((id) => ids.includes(id))]).toEqual([each, each === state ? ids : []]);
      }
    };
    // After its children were made: they themselves have no expiry.
    expect((await app.admin.put(`/api-keys/${parent.id}`, { expires_at: soon })).status).toBe(200);
    await expectState('active');
    await app.admin.post(`/api-keys/${parent.id}/deactivate`);
    await expectState('inactive');
    await app.admin.post(`/api-keys/${parent.id}/activate`);
    app.clock.advanceSeconds(61);
    await expectState('expired');
    await app.admin.delete(`/api-keys/${parent.id}`);
  });

  it('is another thing than the switch, by which is_active narrows a list', async () => {
    expect(await names(`is_active=true&user_id=${owner.id}`)).toEqual(['expired', 'lasting', 'plain']);
    expect(await names(`is_active=true&state=expired&user_id=${owner.id}`)).toEqual(['expired']);
    expect(await names(`is_active=false&state=active`)).toEqual([]);
  });

  it('and the expiry find what will end: expires_before, in the order of expiry', async () => {
    const before = (seconds: number) => new Date(app.clock.now().getTime() + seconds * 1000).toISOString();
    const query = (seconds: number) =>
      `user_id=${owner.id}&expires_before=${before(seconds)}&sort=expires_at`;
    expect(await names(query(0))).toEqual(['expired', 'off and expired']);
    expect(await names(query(7_200))).toEqual(['expired', 'off and expired', 'lasting']);
    expect(await names(`${query(7_200)}&state=active`)).toEqual(['lasting']);
    expect(await names(`user_id=${owner.id}&sort=-expires_at`)).toEqual([
      'off',
      'plain',
      'lasting',
      'off and expired',
      'expired',
    ]);
  });

  it.each([
    [
      'state',
      'dead',
      'must be one of active, inactive, expired, quarantined, owner_disabled, scope_disabled',
    ],
    [
      'sort',
      'name',
      'must be one of -created_at, created_at, -expires_at, expires_at, -last_used_at, last_used_at',
    ],
    [
      'expires_before',
      'tomorrow',
      'must be an ISO 8601 timestamp with a time zone, such as 2030-01-31T12:00:00Z',
    ],
  ])('%s=%s is 422', async (field, value, message) => {
    expectInvalid(await app.admin.get(`/api-keys?${field}=${value}`), { field, message });
  });
});
