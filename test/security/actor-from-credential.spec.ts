import { DataSource } from 'typeorm';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { TestApp, type TestApiKey, type TestUser } from '../support/test-app.js';
import { databaseContents } from './database-contents.js';
import { type DescribedOperation, describedOperations } from './described-operations.js';
import { validBody } from './routes.js';

/** Names that would make somebody else the actor, or reach into what every object inherits. */
const HOSTILE_NAMES = [
  'user_id',
  'owner_id',
  'id',
  'created_by',
  'actor_id',
  'api_key_id',
  'secret_key',
  'prototype',
  ...Object.getOwnPropertyNames(Object.prototype),
];

describe('the actor and the columns come from the service alone', () => {
  let app: TestApp;
  let operations: DescribedOperation[];
  let columnNames: string[];
  let target: { user: TestUser; key: TestApiKey };
  beforeAll(async () => {
    app = await TestApp.start();
    operations = describedOperations(app.app).filter(({ body }) => body !== undefined);
    const columns = app.app.get(DataSource).entityMetadatas.flatMap(({ columns: all }) => all);
    columnNames = columns.flatMap(({ databaseName, propertyName }) => [databaseName, propertyName]);
    target = { user: await app.user(), key: await app.apiKey() };
  });
  afterAll(() => app.stop());

  function send({ method, path, action }: DescribedOperation, property: string, value: string) {
    const id = path.startsWith('/api/v1/users') ? target.user.id : target.key.id;
    const others = Object.entries(validBody(method, action) ?? {}).map(
      ([name, other]) => `${JSON.stringify(name)}:${JSON.stringify(other)}`,
    );
    const rawBody = `{${[...others, `${JSON.stringify(property)}:${value}`].join(',')}}`;
    return app.admin.send(method, `/${path.replace('{id}', String(id))}`, { rawBody });
  }

  it('is proved for every operation with a body', () => {
    const actions = operations.map(({ action }) => action);
    const known = ['login', 'create_user', 'set_user_password', 'create_api_key', 'regenerate_api_key'];
    expect(actions).toEqual(expect.arrayContaining(known));
    expect(columnNames).toEqual(expect.arrayContaining(['userId', 'user_id', 'version', 'password_hash']));
  });

  it('refuses every property that is none of the operation, names it, and changes nothing', async () => {
    const before = await databaseContents(app.database);
    const accepted: string[] = [];
    for (const operation of operations) {
      const names = new Set([...HOSTILE_NAMES, ...columnNames]);
      for (const name of Object.keys(operation.body ?? {})) names.delete(name);
      for (const name of names) {
        const answer = await send(operation, name, '1');
        const errors: { field: string; message: string }[] = answer.body['errors'] ?? [];
        const isNamed = errors.some((e) => e.field === name && e.message === 'is not a known property');
        if (answer.status !== 422 || !isNamed) accepted.push(`${operation.action} ${name}: ${answer.status}`);
      }
    }
    expect(accepted).toEqual([]);
    expect(await databaseContents(app.database)).toEqual(before);
  });

  it('refuses a prototype at any depth, also where an object is not expected', async () => {
    const before = await databaseContents(app.database);
    for (const operation of operations) {
      for (const value of ['{"__proto__":{"role":"admin"}}', '[{"constructor":{"prototype":{"a":1}}}]']) {
        const [first] = Object.keys(operation.body ?? {});
        const answer = await send(operation, first!, value);
        expect([operation.action, answer.status]).toEqual([operation.action, 422]);
      }
    }
    expect(await databaseContents(app.database)).toEqual(before);
    expect(({} as Record<string, unknown>)['role']).toBeUndefined();
  });

  it('refuses hostile names in queries too', async () => {
    for (const name of HOSTILE_NAMES.filter((hostile) => hostile !== 'user_id')) {
      for (const path of ['/api-keys', '/users']) {
        const answer = await app.admin.get(`${path}?${name}=1`);
        expect([path, name, answer.status]).toEqual([path, name, 422]);
      }
    }
  });
});
