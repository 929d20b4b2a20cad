import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { ApiClient } from '../support/api-client.js';
import { TestApp, type TestUser, USER_PASSWORD } from '../support/test-app.js';
import { isWithin, universe } from './permission-reference.js';

/** Every segment that a permission in this file has, for permissions of three segments at most. */
const EVERYTHING = universe(
  ['platform', 'users', 'api-keys', 'usage', 'create', 'read', 'update', 'delete', 'verify', 'write'],
  3,
);

/** What a caller must hold to be let through the doors under test at all. */
const DOORS = ['platform:users:create', 'platform:users:update', 'platform:api-keys:create'];
const ROLES = {
  admin: ['platform:*'],
  developer: ['platform:api-keys:*'],
  auditor: ['platform:*:read'],
  service: ['platform:api-keys:verify', 'platform:usage:write'],
  user: [],
} as const;

const permission = fc
  .tuple(
    fc.constantFrom('platform', '*'),
    fc.constantFrom('users', 'api-keys', '*'),
    fc.constantFrom('read', 'update', '*'),
  )
  .chain((segments) => fc.constantFrom(...[1, 2, 3, 3].map((length) => segments.slice(0, length).join(':'))));
const permissions = fc.uniqueArray(permission, { maxLength: 3 });
const role = fc.constantFrom(...(Object.keys(ROLES) as (keyof typeof ROLES)[]));

describe('nobody gives away what they lack', { timeout: 120_000 }, () => {
  let app: TestApp;
  let caller: TestUser;
  let other: TestUser;
  let made = 0;
  beforeAll(async () => {
    app = await TestApp.start();
    caller = await app.user();
    other = await app.user();
  });
  afterAll(() => app.stop());

  function holds(user: TestUser, held: readonly string[], roleName = 'user') {
    return app.database.query('UPDATE users SET permissions = $2, role = $3 WHERE id = $1', [
      user.id,
      held,
      roleName,
    ]);
  }

  /** Statuses that the reference foretells, and the answers' own, of each way to give something away. */
  async function tryToGive(
    client: ApiClient,
    held: readonly string[],
    given: { role: keyof typeof ROLES; permissions: readonly string[] },
  ) {
    const asUser = [...ROLES[given.role], ...given.permissions];
    const scopes = given.permissions.filter((one) => one.startsWith('platform:'));
    const isUserWithin = isWithin(asUser, held, EVERYTHING);
    const username = `given-${(made += 1)}`;
    const created = await client.post('/users', { username, password: USER_PASSWORD, ...given });
    const updated = await client.put(`/users/${other.id}`, given);
    const key = await client.post('/api-keys', { name: username, scopes });
    const isKeyWithin = isWithin(scopes, held, EVERYTHING);
    return {
      foretold: [isUserWithin ? 201 : 403, isUserWithin ? 200 : 403, isKeyWithin ? 201 : 403],
      answered: [created.status, updated.status, key.status],
    };
  }

  it('to a user or a key, whatever permissions they hold', async () => {
    await fc.assert(
      fc.asyncProperty(permissions, role, permissions, async (extra, givenRole, given) => {
        const held = [...DOORS, ...extra];
        await holds(caller, held);
        await holds(other, []);
        const outcome = await tryToGive(caller.client, held, { role: givenRole, permissions: given });
        expect(outcome.answered).toEqual(outcome.foretold);
      }),
      { numRuns: 40 },
    );
  });

  it('with an API key, beyond what its scopes and its owner share', async () => {
    await holds(caller, ['platform:*']);
    const { id, secret } = await app.apiKey(caller.client, { scopes: ['platform:*'] });
    const client = app.anonymous.withApiKey(secret);
    await fc.assert(
      fc.asyncProperty(
        permissions,
        permissions,
        role,
        permissions,
        async (owner, scopes, givenRole, given) => {
          // What one of both holds whole is shared where the other one is `platform:*`: each side in turn.
          for (const [held, scoped] of [
            [[...DOORS, ...owner], ['platform:*']],
            [['platform:*'], [...DOORS, ...scopes.filter((scope) => scope.startsWith('platform:'))]],
          ] as const) {
            await holds(caller, held);
            await holds(other, []);
            await app.database.query('UPDATE api_keys SET scopes = $2 WHERE id = $1', [id, scoped]);
            const shared = (held[0] === 'platform:*' ? scoped : held).flatMap(belowPlatform);
            const outcome = await tryToGive(client, shared, { role: givenRole, permissions: given });
            expect(outcome.answered).toEqual(outcome.foretold);
          }
        },
      ),
      { numRuns: 15, examples: [[['platform'], [], 'user', ['platform']]] },
    );
  });

  it('and nobody changes a user who holds more than they do', async () => {
    await fc.assert(
      fc.asyncProperty(permissions, role, permissions, async (extra, otherRole, otherExtra) => {
        const held = [...DOORS, 'platform:users:delete', ...extra];
        await holds(caller, held);
        await holds(other, otherExtra, otherRole);
        const isBelow = isWithin([...ROLES[otherRole], ...otherExtra], held, EVERYTHING);
        const path = `/users/${other.id}`;
        const answers = [
          await caller.client.put(path, { is_active: true }),
          await caller.client.put(path, { permissions: [], role: 'user' }),
        ];
        await holds(other, otherExtra, otherRole);
        answers.push(await caller.client.put(`${path}/password`, { new_password: `${USER_PASSWORD}!` }));
        if (!isBelow) answers.push(await caller.client.delete(path));
        expect(answers.map(({ status }) => status)).toEqual(answers.map(() => (isBelow ? 200 : 403)));
      }),
      { numRuns: 30 },
    );
  });

  it('nor changes their own password with a key that lacks what its owner holds', async () => {
    await holds(caller, ['platform:*']);
    const { secret } = await app.apiKey(caller.client, { scopes: ['platform:users:update'] });
    const answer = await app.anonymous.withApiKey(secret).put(`/users/${caller.id}/password`, {
      current_password: USER_PASSWORD,
      new_password: 'another long passphrase',
    });
    expect([answer.status, answer.body['code']]).toEqual([403, 'permission.denied']);
  });

  it('nor revives or takes over a key that carries scopes they lack', async () => {
    const key = await app.apiKey(app.admin, { scopes: ['platform:audit:read'] });
    await holds(caller, ['platform:api-keys:*']);
    const attempts = [
      caller.client.put(`/api-keys/${key.id}`, { description: 'mine now' }),
      caller.client.post(`/api-keys/${key.id}/activate`),
      caller.client.post(`/api-keys/${key.id}/regenerate`),
    ];
    const statuses = (await Promise.all(attempts)).map(({ status }) => status);
    expect(statuses).toEqual([403, 403, 403]);
  });

  it('so a refusal has made no user and no key', async () => {
    await holds(caller, DOORS);
    await caller.client.post('/users', { username: 'never-made', password: USER_PASSWORD, role: 'admin' });
    await caller.client.post('/api-keys', { name: 'never made', scopes: ['platform:*'] });
    expect(await app.database.query(`SELECT FROM users WHERE username = 'never-made'`)).toEqual([]);
    expect(await app.database.query(`SELECT FROM api_keys WHERE name = 'never made'`)).toEqual([]);
  });
});

/** A permission as far as it lies below `platform:`; `platform` by itself does not. */
function belowPlatform(held: string): string[] {
  if (held === 'platform') return [];
  return [held === '*' ? 'platform:*' : held.replace(/^\*:/, 'platform:')];
}
