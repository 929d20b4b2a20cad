/*
 * Who may do what to whom, by plain rules over plain maps: what the service is compared with.
 */

const ADMINISTRATION = ['members', 'policies', 'budgets', 'service-accounts', 'api-keys'].flatMap(
  (resource) => ['create', 'read', 'update', 'delete'].map((action) => `${resource}:${action}`),
);
const READING = ['projects', 'members', 'policies', 'budgets', 'service-accounts', 'api-keys'].map(
  (resource) => `${resource}:read`,
);
const PROJECTS = ['create', 'read', 'update', 'delete'].map((action) => `projects:${action}`);
const MORE = ['api-keys:verify', 'usage:write'];

/** What each role lets its holder do, one permission at a time. */
export const ROLE_PERMISSIONS: Readonly<Record<string, readonly string[]>> = {
  org_owner: [
    ...['read', 'update', 'delete'].map((action) => `organizations:${action}`),
    'audit:read',
    ...PROJECTS,
    ...ADMINISTRATION,
    ...MORE,
  ],
  org_admin: [
    'organizations:read',
    'organizations:update',
    'audit:read',
    ...PROJECTS,
    ...ADMINISTRATION,
    ...MORE,
  ],
  org_auditor: ['organizations:read', 'audit:read', ...READING],
  org_member: ['organizations:read', 'projects:read'],
  project_admin: ['projects:read', 'projects:update', ...ADMINISTRATION, ...MORE],
  project_developer: [...READING, 'api-keys:create'],
  project_viewer: READING,
};

/** An organization, or with a project that. */
export interface Place {
  readonly organization: number;
  readonly project: number | null;
}

export interface ModelKey {
  owner: number;
  place: Place;
  readonly scopes: readonly string[];
  isActive: boolean;
}

/** The state of a few organizations. Every action answers whether it is allowed, and takes effect when it is. */
export class AuthorityModel {
  /** By user and place. */
  readonly roles = new Map<string, string>();
  readonly keys = new Map<number, ModelKey>();

  static nameOf(user: number, { organization, project }: Place): string {
    return `${user} ${organization} ${project ?? '-'}`;
  }

  /** All that a user holds in a place: by roles of it, and of its organization. */
  held(user: number, place: Place): Set<string> {
    const wide = this.roles.get(AuthorityModel.nameOf(user, { ...place, project: null }));
    const own = this.roles.get(AuthorityModel.nameOf(user, place));
    return new Set([wide, own].flatMap((role) => (role === undefined ? [] : (ROLE_PERMISSIONS[role] ?? []))));
  }

  add(actor: number, place: Place, user: number, role: string): boolean {
    const held = this.held(actor, place);
    if (!held.has('members:create') || !isWithin(role, held)) return false;
    if (this.#in({ ...place, project: null }, user).length === 0) return false;
    if (this.roles.has(AuthorityModel.nameOf(user, place))) return false;
    this.roles.set(AuthorityModel.nameOf(user, place), role);
    return true;
  }

  change(actor: number, place: Place, user: number, role: string): boolean {
    const held = this.held(actor, place);
    const before = this.roles.get(AuthorityModel.nameOf(user, place));
    if (!held.has('members:update') || before === undefined) return false;
    if (!isWithin(before, held) || !isWithin(role, held)) return false;
    if (before === 'org_owner' && role !== 'org_owner' && !this.#hasOtherOwner(place, user)) return false;
    this.roles.set(AuthorityModel.nameOf(user, place), role);
    return true;
  }

  remove(actor: number, place: Place, user: number): boolean {
    const held = this.held(actor, place);
    const ended = this.#in(place, user);
    const isLeaving = actor === user;
    if (!isLeaving && !held.has('members:delete')) return false;
    if (ended.length === 0) return false;
    for (const name of ended) {
      const role = this.roles.get(name) ?? '';
      if (!isLeaving && !isWithin(role, held)) return false;
      if (role === 'org_owner' && !this.#hasOtherOwner(place, user)) return false;
    }
    for (const name of ended) this.roles.delete(name);
    for (const key of this.keys.values()) {
      const isThere =
        key.place.organization === place.organization &&
        (place.project === null || key.place.project === place.project);
      if (key.owner === user && isThere) key.isActive = false;
    }
    return true;
  }

  mayCreate(actor: number, place: Place, scopes: readonly string[]): boolean {
    const held = this.held(actor, place);
    return held.has('api-keys:create') && scopes.every((scope) => held.has(scope));
  }

  transfer(actor: number, id: number, user: number, place: Place): boolean {
    const key = this.keys.get(id);
    if (key === undefined) return false;
    const held = this.held(actor, place);
    if (!this.held(actor, key.place).has('api-keys:update') || !held.has('api-keys:create')) return false;
    if (!key.scopes.every((scope) => held.has(scope)) || !this.#belongs(user, place)) return false;
    [key.owner, key.place] = [user, place];
    return true;
  }

  #belongs(user: number, place: Place): boolean {
    return (
      this.roles.has(AuthorityModel.nameOf(user, place)) ||
      this.roles.has(AuthorityModel.nameOf(user, { ...place, project: null }))
    );
  }

  /** The memberships of a user in a place, those in projects of an organization too. */
  #in({ organization, project }: Place, user: number): string[] {
    return [...this.roles.keys()].filter((name) => {
      const [who, where, which] = name.split(' ');
      return (
        Number(who) === user &&
        Number(where) === organization &&
        (project === null || which === String(project))
      );
    });
  }

  #hasOtherOwner({ organization }: Place, user: number): boolean {
    return [...this.roles].some(([name, role]) => {
      const [who, where] = name.split(' ');
      return role === 'org_owner' && Number(where) === organization && Number(who) !== user;
    });
  }
}

function isWithin(role: string, held: ReadonlySet<string>): boolean {
  return (ROLE_PERMISSIONS[role] ?? []).every((permission) => held.has(permission));
}
