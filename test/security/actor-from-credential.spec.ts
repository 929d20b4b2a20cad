import { DataSource } from 'typeorm';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { ApiAnswer } from '../support/api-client.js';
import { TestApp, type TestApiKey, type TestUser } from '../support/test-app.js';
import { databaseContents } from './database-contents.js';
import { type DescribedOperation, describedOperations } from './described-operations.js';
import { vacantPath, validBody } from './routes.js';

/** Properties that would make somebody else the actor. */
const PROPERTIES = ['user_id', 'owner_id', 'id', 'created_by', 'actor_id', 'secret_key', 'is_admin'];

/** Names that reach into what every object inherits. */
const INHERITED = ['prototype', ...Object.getOwnPropertyNames(Object.prototype)];

/** A property of its own even where its name is `__proto__`. */
const asProperty = (name: string) => [name, { value: '1', enumerable: true }] as const;

/** An answer names 50 broken rules at most. */
function inGroups(names: readonly string[]): string[][] {
  const groups = Math.ceil(names.length / 40);
  return Array.from({ length: groups }, (_, index) => names.slice(index * 40, (index + 1) * 40));
}

describe('the actor and the columns come from the service alone', { timeout: 120_000 }, () => {
  let app: TestApp;
  let operations: DescribedOperation[];
  let bodiless: DescribedOperation[];
  let columnNames: string[];
  let target: { user: TestUser; key: TestApiKey };
  beforeAll(async () => {
    app = await TestApp.start();
    const all = describedOperations(app.app);
    operations = all.filter(({ body }) => body !== undefined);
    bodiless = all.filter(({ hasBody, method }) => !hasBody && method !== 'GET');
    const columns = app.app.get(DataSource).entityMetadatas.flatMap((entity) => entity.columns);
    columnNames = columns.flatMap(({ databaseName, propertyName }) => [databaseName, propertyName]);
    target = { user: await app.user(), key: await app.apiKey() };
  });
  afterAll(() => app.stop());

  function send({ method, path, action }: DescribedOperation, hostile: Record<string, string>) {
    const id = path.startsWith('/api/v1/users/') ? target.user.id : target.key.id;
    const isTarget = /^\/api\/v1\/(users|api-keys)\//.test(path);
    const url = isTarget ? `/${path.replace('{id}', String(id))}` : vacantPath(path);
    const accepted = Object.entries(validBody(method, action) ?? {}).filter(([name]) => !(name in hostile));
    const members = [
      ...accepted.map(([name, value]) => `${JSON.stringify(name)}:${JSON.stringify(value)}`),
      ...Object.entries(hostile).map(([name, json]) => `${JSON.stringify(name)}:${json}`),
    ];
    return app.admin.send(method, url, { rawBody: `{${members.join(',')}}` });
  }

  /** Those of the names that an answer does not refuse by name. */
  function notRefused(answer: ApiAnswer, names: readonly string[]): readonly string[] {
    const errors = (answer.body['errors'] ?? []) as { field: string; message: string }[];
    const unknown = errors.filter(({ message }) => message === 'is not a known property');
    const refused = new Set(unknown.map(({ field }) => field));
    return answer.status === 422 ? names.filter((name) => !refused.has(name)) : names;
  }

  it('is proved for every operation with a body', () => {
    const actions = operations.map(({ action }) => action);
    const known = ['login', 'create_user', 'set_user_password', 'create_api_key', 'regenerate_api_key'];
    expect(actions).toEqual(expect.arrayContaining(known));
    expect(columnNames).toEqual(expect.arrayContaining(['userId', 'user_id', 'version', 'password_hash']));
  });

  it('refuses every property that is none of the operation, names it, and changes nothing', async () => {
    const before = await databaseContents(app.database);
    for (const operation of operations) {
      const isForeign = (name: string) => !Object.hasOwn(operation.body!, name);
      const foreign = [...new Set([...PROPERTIES, ...columnNames])].filter(isForeign);
      for (const names of [
        ...inGroups(foreign),
        INHERITED,
        ...PROPERTIES.filter(isForeign).map((name) => [name]),
      ]) {
        const hostile = Object.defineProperties({}, Object.fromEntries(names.map(asProperty))) as Record<
          string,
          string
        >;
        const answer = await send(operation, hostile);
        expect([operation.action, notRefused(answer, names)]).toEqual([operation.action, []]);
      }
    }
    expect(await databaseContents(app.database)).toEqual(before);
  });

  it('refuses every property in the body of an operation that takes none, and changes nothing', async () => {
    const actions = bodiless.map(({ action }) => action);
    expect(actions).toEqual(
      expect.arrayContaining([
        'logout',
        'delete_user',
        'delete_api_key',
        'activate_api_key',
        'deactivate_api_key',
      ]),
    );
    const before = await databaseContents(app.database);
    for (const operation of bodiless) {
      for (const names of [PROPERTIES, INHERITED, ['grace_period_seconds'], ['']]) {
        const hostile = Object.defineProperties({}, Object.fromEntries(names.map(asProperty))) as Record<
          string,
          string
        >;
        const answer = await send(operation, hostile);
        expect([operation.action, notRefused(answer, names)]).toEqual([operation.action, []]);
      }
    }
    expect(await databaseContents(app.database)).toEqual(before);
  });

  it('refuses a prototype at any depth, also where an object is not expected', async () => {
    const before = await databaseContents(app.database);
    for (const operation of operations) {
      for (const value of ['{"__proto__":{"role":"admin"}}', '[{"constructor":{"prototype":{"a":1}}}]']) {
        const [first] = Object.keys(operation.body ?? {});
        const answer = await send(operation, { [first!]: value });
        expect([operation.action, answer.status]).toEqual([operation.action, 422]);
      }
    }
    expect(await databaseContents(app.database)).toEqual(before);
    expect(({} as Record<string, unknown>)['role']).toBeUndefined();
  });

  it('refuses hostile names in queries too', async () => {
    for (const name of [...PROPERTIES.filter((property) => property !== 'user_id'), ...INHERITED]) {
      for (const path of ['/api-keys', '/users']) {
        const answer = await app.admin.get(`${path}?${name}=1`);
        expect([path, name, answer.status]).toEqual([path, name, 422]);
      }
    }
  });
});
