import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { ApiClient } from '../support/api-client.js';
import { API_KEY_OPERATIONS, attempt, type OperationTarget } from '../support/api-key-operations.js';
import { ownerOfKeys, storedKey } from '../support/api-keys.js';
import { auditRowsOf, expectOneAuditRow } from '../support/audit-trail.js';
import { expectInvalid, expectProblem } from '../support/problems.js';
import { TestApp, type TestUser } from '../support/test-app.js';

const ACTIONS = ['create', 'read', 'update', 'delete', 'verify'].map(
  (action) => `platform:api-keys:${action}`,
);

/** Every way to be let in by a permission, and none that is one. */
const GRANTING = (permission: string) => [
  permission,
  'platform:api-keys:*',
  'platform:*',
  permission.replace('api-keys', '*'),
];
const NOT_GRANTING = (permission: string) => [
  ...ACTIONS.filter((other) => other !== permission),
  'platform:api-keys',
  permission.replace('api-keys', 'users'),
  'platform:*:x',
  `${permission}:more`,
];

const NO_IDS = [
  ...'abc 0 -1 -0 1.5 1.0 1e3 0x1 +1 1,2 null NaN Infinity ١ % [1] {id} true 1;'.split(' '),
  ...`9007199254740992|99999999999999999999|${'1'.repeat(250)}|1' OR 1=1 --| 1|1 |1\t`.split('|'),
];

describe.each(API_KEY_OPERATIONS)('$action', (operation) => {
  const { action, permission, status, isOpenToOwner, hasId } = operation;
  let app: TestApp;
  let owner: TestUser;
  let developer: TestUser;
  const targets: OperationTarget[] = [];
  const developersTargets: OperationTarget[] = [];

  beforeAll(async () => {
    app = await sharedApp();
    const owned = await ownerOfKeys(app, 13);
    owner = owned.owner;
    targets.push(...owned.keys.map(({ id }) => ({ id, ownerId: owner.id })));
    developer = await app.user({ role: 'developer' });
    const { id } = await app.apiKey(developer.client);
    developersTargets.push({ id, ownerId: developer.id });
  });

  /** A key that no test has touched. */
  const fresh = (from = targets): OperationTarget => {
    const target = from.pop();
    if (target === undefined) throw new Error('There are no keys left.');
    return target;
  };
  const expectAllowed = async (
    client: ApiClient,
    target: OperationTarget,
    actor: TestUser,
    credentialId: number | null = null,
  ) => {
    const answer = await attempt(operation, client, target);
    expect(answer.status).toBe(status);
    await expectOneAuditRow(app.database, answer, {
      action,
      resource_type: 'api_key',
      user_id: actor.id,
      api_key_id: credentialId,
      ...(hasId ? { resource_id: String(target.id) } : {}),
    });
  };
  const expectRefused = async (
    client: ApiClient,
    target: OperationTarget,
    actor: TestUser,
    credentialId: number | null = null,
  ) => {
    const before = await storedKey(app, Number(target.id));
    const answer = await attempt(operation, client, target);
    expectProblem(answer, 'permission.denied', `The permission ${permission} is needed.`);
    await expectOneAuditRow(app.database, answer, {
      action,
      resource_type: 'api_key',
      resource_id: hasId ? String(target.id) : null,
      user_id: actor.id,
      api_key_id: credentialId,
      details: { reason: `The permission ${permission} is needed.` },
      success: false,
    });
    expect(await storedKey(app, Number(target.id))).toEqual(before);
  };

  it('is refused without a credential, or with one that is none', async () => {
    const target = fresh();
    const before = await storedKey(app, Number(target.id));
    const missing = await attempt(operation, app.anonymous, target);
    expectProblem(missing, 'auth.credential_missing');
    expect(missing.headers.get('www-authenticate')).toBe('Bearer');
    expectProblem(await attempt(operation, app.anonymous.withApiKey('x'), target), 'auth.credential_invalid');
    expectProblem(
      await attempt(operation, app.anonymous.withAccessToken('x.y.z'), target),
      'auth.credential_invalid',
    );
    expect(await storedKey(app, Number(target.id))).toEqual(before);
    expect(await auditRowsOf(app.database, missing)).toEqual([]);
  });

  it(`is ${isOpenToOwner ? 'open to an owner' : 'refused to a user'} without permission`, async () => {
    if (isOpenToOwner) await expectAllowed(owner.client, fresh(), owner);
    else await expectRefused(owner.client, fresh(), owner);
  });

  it('is refused to anyone else, whatever other permissions they hold', async () => {
    const target = fresh();
    for (const permissions of [[], NOT_GRANTING(permission)]) {
      const stranger = await userWith(permissions);
      await expectRefused(stranger.client, target, stranger);
    }
  });

  it.each(GRANTING(permission))('is open to holders of %s', async (held) => {
    const holder = await userWith([held]);
    await expectAllowed(holder.client, fresh(), holder);
  });

  it('is open to an API key with the scope, while its owner holds the permission', async () => {
    for (const scope of [permission, 'platform:api-keys:*']) {
      const { id, secret } = await app.apiKey(developer.client, { scopes: [scope] });
      await expectAllowed(app.anonymous.withApiKey(secret), fresh(), developer, id);
    }
    const { id, secret } = await app.apiKeyOf(owner, { scopes: [permission] });
    await expectRefused(app.anonymous.withApiKey(secret), fresh(), owner, id);
  });

  it("is refused to an API key without the scope, even on its owner's keys", async () => {
    const scopes = ['*', 'app:read', ...ACTIONS.filter((scope) => scope !== permission)];
    const { id, secret } = await app.apiKey(developer.client, { scopes });
    await expectRefused(app.anonymous.withApiKey(secret), fresh(developersTargets), developer, id);
    await expectRefused(app.anonymous.withApiKey(secret), fresh(), developer, id);
  });

  it('accepts a trailing slash', async () => {
    const target = fresh();
    const [path = '', query = ''] = operation.path(target).split('?');
    const { method, body } = operation;
    const answer = await app.admin.send(method, `${path}/?${query}`, { body });
    expect(answer.status).toBe(status);
  });

  if (!hasId) return;

  it('is 422, never 500, for an id that is no positive integer (fault 10 of the seed)', async () => {
    const message = `must be a whole number from 1 to ${Number.MAX_SAFE_INTEGER}`;
    for (const id of NO_IDS) {
      const answer = await attempt(operation, app.admin, { ownerId: owner.id, id: encodeURIComponent(id) });
      expect({ id, status: answer.status }).toEqual({ id, status: 422 });
      expectInvalid(answer, { field: 'id', message });
    }
  });

  it('is 404 for a key that does not exist or was deleted, for every caller', async () => {
    const deleted = fresh();
    expect((await app.admin.delete(`/api-keys/${deleted.id}`)).status).toBe(200);
    for (const id of [deleted.id, 2_000_000_000, Number.MAX_SAFE_INTEGER]) {
      for (const client of [app.admin, owner.client, (await userWith([])).client]) {
        const answer = await attempt(operation, client, { ...deleted, id });
        expectProblem(answer, 'api_key.not_found', 'API key not found');
      }
    }
  });
});

let shared: Promise<TestApp> | undefined;
const sharedApp = () => (shared ??= TestApp.start());
const users = new Map<string, Promise<TestUser>>();

/** One user for each set of permissions, shared by the tests: they own nothing. */
async function userWith(permissions: string[]): Promise<TestUser> {
  const app = await sharedApp();
  const name = permissions.join();
  const user = users.get(name) ?? app.user({ permissions });
  users.set(name, user);
  return user;
}
afterAll(async () => (await shared)?.stop());
