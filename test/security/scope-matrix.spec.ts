import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { ApiAnswer, ApiClient } from '../support/api-client.js';
import { keyIn, newMember, newTenant, type Tenant } from '../support/tenants.js';
import { TestApp, type TestApiKey } from '../support/test-app.js';
import { type ProtectedRoute, protectedRoutes, validBody } from './routes.js';

/** What each role may do where it holds, beside the table of the database. */
const ADMINISTRATION = [
  'platform:projects:*',
  'platform:members:*',
  'platform:policies:*',
  'platform:budgets:*',
  'platform:service-accounts:*',
  'platform:api-keys:*',
  'platform:usage:*',
];
const READING = ['projects', 'members', 'policies', 'budgets', 'service-accounts', 'api-keys'].map(
  (resource) => `platform:${resource}:read`,
);
const ROLES: Readonly<Record<string, readonly string[]>> = {
  org_owner: [
    'platform:organizations:read',
    'platform:organizations:update',
    'platform:organizations:delete',
    'platform:audit:read',
    ...ADMINISTRATION,
  ],
  org_admin: [
    'platform:organizations:read',
    'platform:organizations:update',
    'platform:audit:read',
    ...ADMINISTRATION,
  ],
  org_auditor: ['platform:organizations:read', 'platform:audit:read', ...READING],
  org_member: ['platform:organizations:read', 'platform:projects:read'],
  project_admin: [
    'platform:projects:read',
    'platform:projects:update',
    ...ADMINISTRATION.filter((permission) => permission !== 'platform:projects:*'),
  ],
  project_developer: [...READING, 'platform:api-keys:create'],
  project_viewer: READING,
};

/** Where a thing is that a route is asked about. */
type Target = 'organization' | 'project' | 'other project' | 'key' | 'key of the other project';
/** What a caller is answered: `let in` is anything that the route itself says. */
type Outcome = 'let in' | 'forbidden' | 'not found';

/** Somebody who asks, and what they hold in the organization, in its first and in its second project. */
interface Caller {
  readonly name: string;
  readonly client: ApiClient;
  readonly held: Readonly<Record<'organization' | 'project' | 'other project', readonly string[]>>;
  /** False for whom the organization does not exist. */
  readonly isMember: boolean;
  /** What they hold in another organization. */
  readonly elsewhere?: readonly string[];
}

const NOTHING = { organization: [], project: [], 'other project': [] };

describe('what a caller may do depends on where it is', { timeout: 240_000 }, () => {
  let app: TestApp;
  let tenant: Tenant;
  let foreign: Tenant;
  let routes: ProtectedRoute[];
  let callers: Caller[];
  const keys = new Map<Target, TestApiKey>();
  beforeAll(async () => {
    app = await TestApp.start();
    routes = protectedRoutes(app.app);
    [tenant, foreign] = [await newTenant(app), await newTenant(app)];
    callers = await everyCaller();
  });
  afterAll(() => app.stop());

  /** Platform role, each role of an organization and of a project, a foreign owner, nobody in particular, and a key of each. */
  async function everyCaller(): Promise<Caller[]> {
    const everything = {
      organization: ['platform:*'],
      project: ['platform:*'],
      'other project': ['platform:*'],
    };
    const found: Caller[] = [
      { name: 'an admin of the platform', client: app.admin, held: everything, isMember: true },
      await withKey('a key of an admin', app.admin, 1, everything, true),
    ];
    const owner = await newMember(app, tenant, 'org_owner');
    keys.set('key', await keyIn(app, owner, tenant.projectId));
    keys.set('key of the other project', await keyIn(app, owner, tenant.otherProjectId));
    for (const [role, permissions] of Object.entries(ROLES)) {
      const user = await newMember(app, tenant, role);
      const isWide = role.startsWith('org_');
      found.push({
        name: role,
        client: user.client,
        isMember: true,
        held: {
          organization: isWide ? permissions : [],
          project: permissions,
          'other project': isWide ? permissions : [],
        },
      });
      // A key acts in its project alone, whatever the role of its owner reaches.
      const key = await keyIn(app, user, tenant.projectId, { scopes: ['platform:*'] });
      found.push({
        name: `a key of ${role}`,
        client: app.anonymous.withApiKey(key.secret),
        isMember: true,
        held: { ...NOTHING, project: permissions },
      });
    }
    const stranger = await newMember(app, foreign, 'org_owner');
    const foreignKey = await keyIn(app, stranger, foreign.projectId, { scopes: ['platform:*'] });
    found.push(
      {
        name: 'an owner of another organization',
        client: stranger.client,
        isMember: false,
        held: NOTHING,
        elsewhere: ROLES['org_owner'] ?? [],
      },
      {
        name: 'a key of another organization',
        client: app.anonymous.withApiKey(foreignKey.secret),
        isMember: false,
        held: NOTHING,
        elsewhere: ROLES['org_owner'] ?? [],
      },
      {
        name: 'a user without a role',
        client: (await app.user()).client,
        isMember: false,
        held: NOTHING,
      },
    );
    return found;
  }

  async function withKey(
    name: string,
    client: ApiClient,
    projectId: number,
    held: Caller['held'],
    isMember: boolean,
  ): Promise<Caller> {
    const { secret } = await app.apiKey(client, { project_id: projectId, scopes: ['platform:*'] });
    return { name, client: app.anonymous.withApiKey(secret), held, isMember };
  }

  /** Routes about something that lies in an organization, with the things they are asked about. */
  function asked(): (readonly [ProtectedRoute, Target])[] {
    return routes.flatMap((route): (readonly [ProtectedRoute, Target])[] => {
      const { url } = route;
      if (url.startsWith('/api/v1/organizations/:id')) return [[route, 'organization']];
      if (url.startsWith('/api/v1/projects/:id'))
        return [
          [route, 'project'],
          [route, 'other project'],
        ];
      if (url.startsWith('/api/v1/api-keys/:id'))
        return [
          [route, 'key'],
          [route, 'key of the other project'],
        ];
      return [];
    });
  }

  function idOf(target: Target): number {
    if (target === 'organization') return tenant.organizationId;
    if (target === 'project') return tenant.projectId;
    return target === 'other project' ? tenant.otherProjectId : keys.get(target)!.id;
  }

  function pathOf({ url, action }: ProtectedRoute, id: number): string {
    const path = url
      .replace('/api/v1', '')
      .replace(':id', String(id))
      .replace(':secret_id', '0123456789abcdef')
      .replace(/:\w+_id/, '999999');
    return action === 'get_usage_events' ? `${path}?request_id=none` : path;
  }

  const send = (client: ApiClient, route: ProtectedRoute, id: number) =>
    client.send(route.method, pathOf(route, id), {
      body:
        route.action === 'transfer_api_key' ? { user_id: 999_999 } : validBody(route.method, route.action),
    });

  function expectedOf(
    { held, isMember, elsewhere = [] }: Caller,
    { access }: ProtectedRoute,
    target: Target,
  ): Outcome {
    if (access.kind === 'authenticated') return 'let in';
    const place = target.replace(/^key$/, 'project').replace(/^key of the /, '') as keyof Caller['held'];
    if (held[place].some((one) => allows(one, access.permission))) return 'let in';
    // Where the path names no place, who may do it nowhere is refused before anything is looked for.
    if (
      access.kind === 'permission_in_scope' &&
      access.below === undefined &&
      !elsewhere.some((one) => allows(one, access.permission))
    )
      return 'forbidden';
    return isMember ? 'forbidden' : 'not found';
  }

  /** Giving a role beyond one's own is refused by the service, after the route has let the caller in. */
  function outcomeOf({ status, body }: ApiAnswer): string {
    const code = String(body['code']);
    if (status === 403) {
      const isOfService = /^(This needs permissions|To change is_active|An API key cannot)/.test(
        body['detail'],
      );
      return isOfService ? 'let in' : 'forbidden';
    }
    if (status === 404 && /^(organization|project|api_key)\.not_found$/.test(code)) return 'not found';
    return status >= 500 || status === 401 ? `${status} ${code}` : 'let in';
  }

  it('for every route that names an organization, a project or a key', async () => {
    expect(asked().length).toBeGreaterThan(40);
    const surprises: string[] = [];
    // What ends a thing is asked last of all, by callers who may not do it first.
    const isDeletion = ([{ method }]: readonly [ProtectedRoute, Target]) => Number(method === 'DELETE');
    const order = asked().toSorted((a, b) => isDeletion(a) - isDeletion(b));
    for (const [route, target] of order) {
      for (const caller of callers) {
        const expected = expectedOf(caller, route, target);
        // Deleted things are not found by anybody else.
        if (isDeletion([route, target]) && expected === 'let in') continue;
        const outcome = outcomeOf(await send(caller.client, route, idOf(target)));
        if (outcome !== expected)
          surprises.push(
            `${caller.name}: ${route.method} ${route.url} of ${target}: ${outcome}, not ${expected}`,
          );
      }
    }
    expect(surprises).toEqual([]);
  });

  it('and what is foreign is answered like what does not exist, to the letter', async () => {
    const foreigners = callers.filter(({ isMember }) => !isMember);
    expect(foreigners.length).toBe(3);
    for (const [route, target] of asked()) {
      if (route.access.kind === 'authenticated') continue;
      for (const { client } of foreigners) {
        const [there, nowhere] = [
          await send(client, route, idOf(target)),
          await send(client, route, 987_654_321),
        ];
        expect([route.action, shown(there, idOf(target))]).toEqual([
          route.action,
          shown(nowhere, 987_654_321),
        ]);
      }
    }
  });

  it('and lists show what of each place the caller may read, and nothing else', async () => {
    const ids = [keys.get('key')!.id, keys.get('key of the other project')!.id];
    for (const { name, client, held } of callers) {
      const list = await client.get('/api-keys?size=100');
      const seen = ((list.body['api_keys'] ?? []) as { id: number }[]).map(({ id }) => id);
      const readable = ids.filter((_id, index) =>
        held[index === 0 ? 'project' : 'other project'].some((one) => allows(one, 'platform:api-keys:read')),
      );
      expect([name, ids.filter((id) => seen.includes(id))]).toEqual([name, readable]);
      const projects = await client.get('/projects?size=100');
      const shownIds = (projects.body['projects'] as { id: number }[]).map(({ id }) => id);
      const places = [tenant.projectId, tenant.otherProjectId];
      const visible = places.filter((_id, index) =>
        held[index === 0 ? 'project' : 'other project'].some((one) => allows(one, 'platform:projects:read')),
      );
      expect([name, places.filter((id) => shownIds.includes(id))]).toEqual([name, visible]);
    }
  });
});

/** An answer without what names the request. */
function shown({ status, text, body }: ApiAnswer, id: number): unknown {
  return [status, text.replaceAll(String(body['request_id']), '').replaceAll(`/${id}`, '/')];
}

/** The rule of permissions for one without wildcards that is wanted. */
function allows(held: string, wanted: string): boolean {
  const pattern = held.replaceAll(/(?<!^)\*$/g, '.+').replaceAll('*', '[^:]+');
  return new RegExp(`^${pattern}$`).test(wanted);
}
