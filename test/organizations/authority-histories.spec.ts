import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { TestApp, type TestUser } from '../support/test-app.js';
import { newTenant } from '../support/tenants.js';
import { AuthorityModel, type Place, ROLE_PERMISSIONS } from './authority-model.js';

const IS_LONG = process.env['LATCHKEY_LONG'] === '1';
const HISTORIES = IS_LONG ? 5_000 : 60;
const STEPS = 12;
const USERS = 5;

const ORGANIZATION_ROLES = Object.keys(ROLE_PERMISSIONS).filter((role) => role.startsWith('org_'));
const PROJECT_ROLES = Object.keys(ROLE_PERMISSIONS).filter((role) => role.startsWith('project_'));
const SCOPES = [
  'api-keys:read',
  'api-keys:update',
  'members:create',
  'projects:update',
  'organizations:update',
];

/** What a random step is made of; numbers choose among what there is. */
interface Step {
  readonly kind: 'add' | 'change' | 'remove' | 'create' | 'transfer';
  readonly actor: number;
  readonly user: number;
  readonly place: number;
  readonly role: number;
  readonly key: number;
  readonly scopes: readonly string[];
}

const step: fc.Arbitrary<Step> = fc.record({
  kind: fc.constantFrom('add', 'add', 'change', 'remove', 'create', 'transfer'),
  actor: fc.nat(USERS - 1),
  user: fc.nat(USERS - 1),
  place: fc.nat(4),
  role: fc.nat(20),
  key: fc.nat(20),
  scopes: fc.uniqueArray(fc.constantFrom(...SCOPES), { maxLength: 2 }),
});

describe('random histories of members and keys', { timeout: IS_LONG ? 3_600_000 : 240_000 }, () => {
  let app: TestApp;
  let users: TestUser[];
  beforeAll(async () => {
    app = await TestApp.start();
    users = await Promise.all(Array.from({ length: USERS }, () => app.user()));
  });
  afterAll(() => app.stop());

  /** Two organizations, the first with two projects; the first user owns one, the second the other. */
  async function world(model: AuthorityModel): Promise<Place[]> {
    const [one, two] = [await newTenant(app), await newTenant(app)];
    const owners = [one.organizationId, two.organizationId];
    for (const [index, organization] of owners.entries()) {
      const user = users[index]!;
      await app.admin.post(`/organizations/${organization}/members`, { user_id: user.id, role: 'org_owner' });
      model.roles.set(AuthorityModel.nameOf(user.id, { organization, project: null }), 'org_owner');
    }
    // Somebody to add and to promote, in each.
    for (const user of users.slice(2)) {
      const organization = owners[user.id % 2]!;
      await app.admin.post(`/organizations/${organization}/members`, {
        user_id: user.id,
        role: 'org_member',
      });
      model.roles.set(AuthorityModel.nameOf(user.id, { organization, project: null }), 'org_member');
    }
    return [
      { organization: one.organizationId, project: null },
      { organization: two.organizationId, project: null },
      { organization: one.organizationId, project: one.projectId },
      { organization: one.organizationId, project: one.otherProjectId },
      { organization: two.organizationId, project: two.projectId },
    ];
  }

  const pathOf = ({ organization, project }: Place) =>
    project === null ? `/organizations/${organization}/members` : `/projects/${project}/members`;

  /** What the service answered and what the model allows. */
  async function take(
    model: AuthorityModel,
    places: readonly Place[],
    asked: Step,
  ): Promise<[boolean, boolean]> {
    const [actor, user] = [users[asked.actor]!, users[asked.user]!];
    const place = places[asked.place]!;
    const roles = place.project === null ? ORGANIZATION_ROLES : PROJECT_ROLES;
    const role = roles[asked.role % roles.length]!;
    const projects = places.filter(({ project }) => project !== null);
    const inProject = projects[asked.place % projects.length]!;
    switch (asked.kind) {
      case 'add': {
        const answer = await actor.client.post(pathOf(place), { user_id: user.id, role });
        return [answer.status < 300, model.add(actor.id, place, user.id, role)];
      }
      case 'change': {
        const answer = await actor.client.put(`${pathOf(place)}/${user.id}`, { role });
        return [answer.status < 300, model.change(actor.id, place, user.id, role)];
      }
      case 'remove': {
        const answer = await actor.client.delete(`${pathOf(place)}/${user.id}`);
        return [answer.status < 300, model.remove(actor.id, place, user.id)];
      }
      case 'create': {
        const scopes = asked.scopes.map((scope) => `platform:${scope}`);
        const answer = await actor.client.post('/api-keys', {
          name: 'x',
          project_id: inProject.project,
          scopes,
        });
        const isAllowed = model.mayCreate(actor.id, inProject, asked.scopes);
        if (answer.status < 300)
          model.keys.set(answer.body['api_key'].id as number, {
            owner: actor.id,
            place: inProject,
            scopes: asked.scopes,
            isActive: true,
          });
        return [answer.status < 300, isAllowed];
      }
      case 'transfer': {
        const ids = [...model.keys.keys()];
        const id = ids[asked.key % Math.max(1, ids.length)] ?? 999_999;
        const answer = await actor.client.post(`/api-keys/${id}/transfer`, {
          user_id: user.id,
          project_id: inProject.project,
        });
        return [answer.status < 300, model.transfer(actor.id, id, user.id, inProject)];
      }
    }
  }

  /** What every user holds in every place, by the service and by the model. */
  async function authorities(model: AuthorityModel, places: readonly Place[]) {
    const [found, expected]: [string[], string[]] = [[], []];
    for (const user of users) {
      const scoped = (await user.client.get('/auth/me')).body['scoped_permissions'] as {
        organization_id: number;
        project_id: number | null;
        permissions: string[];
      }[];
      const everything = new Set(Object.values(ROLE_PERMISSIONS).flat());
      for (const place of places) {
        const held = scoped
          .filter(
            (scope) =>
              scope.organization_id === place.organization &&
              (scope.project_id === null || scope.project_id === place.project),
          )
          .flatMap(({ permissions }) => permissions);
        const shown = [...everything].filter((one) => held.some((each) => allows(each, `platform:${one}`)));
        const name = AuthorityModel.nameOf(user.id, place);
        found.push(`${name}: ${shown.toSorted().join(' ')}`);
        expected.push(`${name}: ${[...model.held(user.id, place)].toSorted().join(' ')}`);
      }
    }
    return { found, expected };
  }

  it('give nobody anything in a place that they were not given there by somebody who held it', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: STEPS, maxLength: STEPS }), async (steps) => {
        const model = new AuthorityModel();
        const places = await world(model);
        for (const [index, asked] of steps.entries()) {
          const [answered, allowed] = await take(model, places, asked);
          expect([index, asked, answered]).toEqual([index, asked, allowed]);
        }
        const { found, expected } = await authorities(model, places);
        expect(found).toEqual(expected);
        for (const [id, key] of model.keys) {
          const { body } = await app.admin.get(`/api-keys/${id}`);
          expect([id, body['user_id'], body['project_id'], body['is_active']]).toEqual([
            id,
            key.owner,
            key.place.project,
            key.isActive,
          ]);
        }
      }),
      { numRuns: HISTORIES },
    );
  });
});

/** The rule of permissions for one without wildcards that is wanted. */
function allows(held: string, wanted: string): boolean {
  const pattern = held.replaceAll(/(?<!^)\*$/g, '.+').replaceAll('*', '[^:]+');
  return new RegExp(`^${pattern}$`).test(wanted);
}
