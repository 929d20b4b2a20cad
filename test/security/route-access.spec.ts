import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { ApiClient } from '../support/api-client.js';
import { TestApp, type TestApiKey, type TestUser } from '../support/test-app.js';
import { MEMBER_PERMISSIONS, type ProtectedRoute, protectedRoutes, vacantPath, validBody } from './routes.js';
import { claimsOf, forged, HEADER, openSession, secondsAhead } from './tokens.js';

/** A user without permissions, and a key of theirs, for others to try. */
interface Target {
  readonly user: TestUser;
  readonly key: TestApiKey;
}

type Expectation = 'granted' | 'permission.denied' | 'auth.credential_missing' | 'auth.credential_invalid';

const BUILT_IN_ROLES = {
  admin: ['platform:*'],
  developer: ['platform:api-keys:*'],
  auditor: ['platform:*:read'],
  service: ['platform:api-keys:verify', 'platform:usage:write'],
  user: [],
} as const;

describe('no route answers more than it declares', { timeout: 120_000 }, () => {
  let app: TestApp;
  let routes: ProtectedRoute[];
  let permissions: string[];
  let target: Target;
  beforeAll(async () => {
    app = await TestApp.start();
    // Who creates an organization owns it, and a logout ends what the other routes are asked with: these come last.
    const last = ['create_organization', 'logout'];
    routes = protectedRoutes(app.app).toSorted((a, b) => last.indexOf(a.action) - last.indexOf(b.action));
    permissions = [
      ...new Set(
        routes
          .flatMap(({ access }) => [permissionOf(access), alternativeOf(access)])
          .filter((p) => p !== undefined),
      ),
    ];
    target = await newTarget();
  });
  afterAll(() => app.stop());

  async function newTarget(): Promise<Target> {
    const user = await app.user({ permissions: ['platform:api-keys:create'] });
    const key = await app.apiKey(user.client);
    await app.database.query(`UPDATE users SET permissions = '{}' WHERE id = $1`, [user.id]);
    return { user, key };
  }

  /** Where ownership counts and no path says whose things are meant, the query does. */
  function pathOf({ method, url, access, action }: ProtectedRoute, { user, key }: Target): string {
    const query = action === 'get_usage_events' ? '?request_id=unknown' : '';
    const isOfUser = url.startsWith('/api/v1/users/');
    if (isOfUser || url.startsWith('/api/v1/api-keys/'))
      return vacantPath(url.replace(':id', String(isOfUser ? user.id : key.id))) + query;
    const isOwned = method === 'GET' && access.kind === 'owner_or_permission';
    return vacantPath(url) + (isOwned ? `?user_id=${user.id}` : '');
  }

  /** Asks every route, or those that must refuse, and tells where the answer was another than expected. */
  async function surprises(
    client: ApiClient,
    expected: (route: ProtectedRoute) => Expectation,
    { ownTarget, onlyRefusals = false }: { ownTarget?: Target; onlyRefusals?: boolean } = {},
  ): Promise<string[]> {
    const found: string[] = [];
    for (const route of routes) {
      const { method, url, action } = route;
      const expectation = expected(route);
      if (onlyRefusals && expectation === 'granted') continue;
      const mayChange = expectation === 'granted' && method !== 'GET' && url.includes(':id');
      const asked = ownTarget ?? (mayChange ? await newTarget() : target);
      const answer = await client.send(method, pathOf(route, asked), { body: validBody(method, action) });
      // Whoever may call the route, and would give a role that they do not hold themselves.
      const isGivingMore = String(answer.body['detail']).startsWith(
        'This needs permissions that you do not hold',
      );
      const isForbidden = answer.status === 403 && !isGivingMore;
      const isRefusal = answer.status === 401 || isForbidden || answer.status >= 500;
      const isAsExpected = expectation === 'granted' ? !isRefusal : answer.body['code'] === expectation;
      if (!isAsExpected)
        found.push(`${method} ${url}: ${expectation} expected, was ${answer.status} ${answer.text}`);
    }
    return found;
  }

  /** What a caller may do whose permissions are known and who owns nothing. */
  function whatIsGranted(
    held: readonly string[],
    credential: 'session' | 'api_key',
    heldInProject: readonly string[] = [],
  ) {
    return ({ access, action }: ProtectedRoute): Expectation => {
      if (action === 'logout') return credential === 'session' ? 'granted' : 'permission.denied';
      const needed = permissionOf(access);
      const sufficient = [needed, alternativeOf(access)].filter((each) => each !== undefined);
      const there = below(access) === undefined ? [] : asMember[credential](access, heldInProject);
      return needed === undefined ||
        [...held, ...there].some((one) => sufficient.some((each) => covers(one, each)))
        ? 'granted'
        : 'permission.denied';
    };
  }

  /** What everybody holds in the default organization, and a key only in its project. */
  const asMember = {
    session: () => MEMBER_PERMISSIONS,
    api_key: (access: ProtectedRoute['access'], heldInProject: readonly string[]) =>
      below(access) === 'project' ? heldInProject : [],
  };

  it('to nobody without a credential', async () => {
    expect(await surprises(app.anonymous, () => 'auth.credential_missing')).toEqual([]);
  });

  it('to nobody whose token has expired', async () => {
    const { accessToken } = await openSession(app, target.user.username);
    const expired = forged(HEADER, { ...claimsOf(accessToken), exp: secondsAhead(-1) });
    expect(await surprises(app.anonymous.withAccessToken(expired), () => 'auth.credential_invalid')).toEqual(
      [],
    );
  });

  it('to nobody whose session has ended or run out', async () => {
    for (const change of ['ended_at = now()', `expires_at = now() - interval '1 second'`]) {
      const { accessToken, client } = await openSession(app, 'admin', 'a long admin passphrase');
      await app.database.query(`UPDATE sessions SET ${change} WHERE id = $1`, [claimsOf(accessToken)['sid']]);
      expect(await surprises(client, () => 'auth.credential_invalid')).toEqual([]);
    }
  });

  it('to no session and no key of a user who is disabled or gone', async () => {
    for (const change of ['is_active = false', 'deleted_at = now()']) {
      const user = await app.user({ role: 'admin' });
      const { secret } = await app.apiKey(user.client, { scopes: ['platform:*'] });
      await app.database.query(`UPDATE users SET ${change} WHERE id = $1`, [user.id]);
      expect(await surprises(user.client, () => 'auth.credential_invalid')).toEqual([]);
      expect(await surprises(app.anonymous.withApiKey(secret), () => 'auth.credential_invalid')).toEqual([]);
    }
  });

  it('to no dead or unknown key', async () => {
    const key = await app.apiKey(app.admin, { scopes: ['platform:*'] });
    const client = app.anonymous.withApiKey(key.secret);
    for (const change of ['is_active = false', 'is_active = true, deleted_at = now()']) {
      await app.database.query(`UPDATE api_keys SET ${change} WHERE id = $1`, [key.id]);
      expect(await surprises(client, () => 'auth.credential_invalid')).toEqual([]);
    }
    const unknown = app.anonymous.withApiKey(`en_${'0'.repeat(38)}`);
    expect(await surprises(unknown, () => 'auth.credential_invalid')).toEqual([]);
  });

  it('to a user without permissions only what any user may do', async () => {
    const stranger = await app.user();
    expect(await surprises(stranger.client, whatIsGranted([], 'session'))).toEqual([]);
  });

  it('to the holder of a single permission only what it lets them do', async () => {
    for (const permission of permissions) {
      const holder = await app.user({ permissions: [permission] });
      const found = await surprises(holder.client, whatIsGranted([permission], 'session'));
      expect({ permission, found }).toEqual({ permission, found: [] });
    }
  });

  it('to each built-in role only what its permissions let it do', async () => {
    for (const [role, held] of Object.entries(BUILT_IN_ROLES)) {
      const { client } = await app.user({ role });
      const found = await surprises(client, whatIsGranted(held, 'session'));
      expect({ role, found }).toEqual({ role, found: [] });
    }
  });

  it('to an API key only what its scopes say, whatever its owner may do', async () => {
    for (const permission of permissions) {
      const others = permissions.filter((other) => other !== permission);
      for (const scopes of [[permission], others]) {
        const { secret } = await app.apiKey(app.admin, { scopes });
        const client = app.anonymous.withApiKey(secret);
        const onlyRefusals = scopes === others;
        const found = await surprises(client, whatIsGranted(scopes, 'api_key'), { onlyRefusals });
        expect({ scopes, found }).toEqual({ scopes, found: [] });
      }
    }
  });

  it('to an API key nothing for a scope that is not of the platform or that its owner lost', async () => {
    const owner = await app.user({ role: 'admin' });
    const keys = [
      [
        await app.apiKey(owner.client, { scopes: ['*', '*:*', '*:api-keys:read', 'other:*', 'platform'] }),
        [],
      ],
      // What its owner still holds as a member of the default organization.
      [await app.apiKey(owner.client, { scopes: ['platform:*'] }), MEMBER_PERMISSIONS],
    ] as const;
    await app.admin.put(`/users/${owner.id}`, { role: 'user' });
    for (const [{ secret }, inProject] of keys) {
      const client = app.anonymous.withApiKey(secret);
      expect(await surprises(client, whatIsGranted([], 'api_key', inProject))).toEqual([]);
    }
  });

  it('to an owner with a session what ownership gives, and to their API key nothing', async () => {
    const owner = await newTarget();
    const own = (route: ProtectedRoute): Expectation =>
      route.access.kind === 'permission' || route.access.kind === 'permission_in_scope'
        ? whatIsGranted([], 'session')(route)
        : 'granted';
    const client = app.anonymous.withApiKey(owner.key.secret);
    expect(await surprises(client, whatIsGranted([], 'api_key'), { ownTarget: owner })).toEqual([]);
    expect(await surprises(owner.user.client, own, { ownTarget: owner })).toEqual([]);
  });

  it('and a refused call has changed nothing', async () => {
    const [user] = await app.database.query('SELECT * FROM users WHERE id = $1', [target.user.id]);
    expect(user).toMatchObject({ role: 'user', permissions: [], is_active: true, deleted_at: null });
    const [key] = await app.database.query('SELECT * FROM api_keys WHERE id = $1', [target.key.id]);
    expect(key).toMatchObject({ version: 1, description: null, is_active: true, deleted_at: null });
    expect((await app.anonymous.withApiKey(target.key.secret).get('/auth/me')).status).toBe(200);
  });
});

function permissionOf(access: ProtectedRoute['access']): string | undefined {
  return access.kind === 'authenticated' ? undefined : access.permission;
}

/** What the id in its path names, where that decides. */
function below(access: ProtectedRoute['access']): 'organization' | 'project' | undefined {
  return access.kind === 'permission_in_scope' ? access.below : undefined;
}

/** What does as well. */
function alternativeOf(access: ProtectedRoute['access']): string | undefined {
  return 'alternative' in access ? access.alternative : undefined;
}

/** The rule of product.md §2 for one permission without wildcards that is wanted. */
function covers(held: string, wanted: string): boolean {
  const pattern = held.replaceAll(/(?<!^)\*$/g, '.+').replaceAll('*', '[^:]+');
  return new RegExp(`^${pattern}$`).test(wanted);
}
