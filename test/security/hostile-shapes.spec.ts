import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { ApiAnswer } from '../support/api-client.js';
import { TestApp } from '../support/test-app.js';
import { databaseContents } from './database-contents.js';
import { type DescribedOperation, describedOperations } from './described-operations.js';
import { vacantPath, validBody } from './routes.js';

const MEGABYTE = 1_048_576;

/** Stand where text is expected; the last would be called by code that does not check. */
const NO_TEXTS = [
  '{}',
  '{"$ne":null}',
  '[]',
  '["a"]',
  '1',
  '1e999',
  '-0',
  'true',
  '{"toString":"a","length":5}',
];

describe('a body of another shape than the described one', { timeout: 120_000 }, () => {
  let app: TestApp;
  let operations: DescribedOperation[];
  let before: Record<string, string[]>;
  beforeAll(async () => {
    app = await TestApp.start();
    operations = describedOperations(app.app).filter(({ body }) => body !== undefined);
    before = await databaseContents(app.database);
  });
  afterAll(() => app.stop());

  function send({ method, path }: DescribedOperation, rawBody: string): Promise<ApiAnswer> {
    return app.admin.send(method, vacantPath(path), { rawBody });
  }

  /** The body that the operation accepts, with one property replaced by a piece of JSON. */
  function bodyWith({ method, action }: DescribedOperation, property: string, json: string): string {
    const others = Object.entries(validBody(method, action) ?? {}).filter(([name]) => name !== property);
    const members = others.map(([name, value]) => `${JSON.stringify(name)}:${JSON.stringify(value)}`);
    return `{${[...members, `${JSON.stringify(property)}:${json}`].join(',')}}`;
  }

  it('is 422 where something else stands for a text, and names the field', async () => {
    for (const operation of operations) {
      for (const [property, { type }] of Object.entries(operation.body!)) {
        if (type !== 'string') continue;
        for (const json of NO_TEXTS) {
          const answer = await send(operation, bodyWith(operation, property, json));
          const fields = (answer.body['errors'] as { field: string }[] | undefined)?.map(
            ({ field }) => field,
          );
          const isNamed = fields?.some((field) => field === property || field.startsWith(`${property}.`));
          expect([operation.action, property, json, answer.status, isNamed]).toEqual([
            operation.action,
            property,
            json,
            422,
            true,
          ]);
        }
      }
    }
  });

  it('is 4xx where anything stands for anything', async () => {
    const values = [
      ...NO_TEXTS,
      'null',
      '9007199254740993',
      '1e-999',
      '"\\u0000"',
      '[[[]]]',
      '[null]',
      '[{}]',
      '""',
    ];
    for (const operation of operations) {
      for (const [property, { type }] of Object.entries(operation.body!)) {
        if (type === 'boolean') continue;
        const answers = await Promise.all(
          values.map((json) => send(operation, bodyWith(operation, property, `{"nested":[${json}]}`))),
        );
        const statuses = answers.map(({ status }) => status);
        expect([operation.action, property, statuses]).toEqual([
          operation.action,
          property,
          values.map(() => 422),
        ]);
      }
    }
  });

  it.each(['[]', '"text"', '1', 'true', '[{"name":"a"}]'])(
    'is 422 when it is %s as a whole',
    async (json) => {
      for (const operation of operations) {
        const answer = await send(operation, json);
        expect([operation.action, answer.status]).toEqual([operation.action, 422]);
      }
    },
  );

  it('is 413 or 422 with a text of a megabyte', async () => {
    const json = JSON.stringify('x'.repeat(MEGABYTE - 200));
    for (const operation of operations) {
      for (const property of Object.keys(operation.body!)) {
        const { status } = await send(operation, bodyWith(operation, property, json));
        expect([operation.action, property, [413, 422].includes(status)]).toEqual([
          operation.action,
          property,
          true,
        ]);
      }
    }
  });

  it('is 413 or 422 with a list of 10,000 entries', async () => {
    const long = JSON.stringify(Array.from({ length: 10_000 }, (_, index) => `e${index}`));
    for (const operation of operations) {
      for (const property of Object.keys(operation.body!)) {
        for (const json of [long, `[${'[],'.repeat(9_999)}[]]`]) {
          const { status } = await send(operation, bodyWith(operation, property, json));
          const isRefused = status === 413 || status === 422;
          expect([operation.action, property, isRefused]).toEqual([operation.action, property, true]);
        }
      }
    }
  });

  it('is 413 or 422 with 10,000 properties', async () => {
    const many = Array.from({ length: 10_000 }, (_, index) => `"p${index}":1`).join(',');
    for (const operation of operations) {
      const { status } = await send(operation, `{${many}}`);
      expect([operation.action, [413, 422].includes(status)]).toEqual([operation.action, true]);
    }
  });

  it('is 422 with a megabyte of what almost is a secret for the name of a property', async () => {
    for (const part of ['eyJ', 'en_', 'rt_', 'eyJaaaaaa.']) {
      const name = part.repeat(Math.floor((MEGABYTE - 100) / part.length));
      const { status } = await app.admin.send('POST', '/api-keys', { rawBody: `{"name":"a","${name}":1}` });
      expect([part, status]).toEqual([part, 422]);
    }
  });

  it.each([17, 1_000, 30_000, 100_000])('is 413 or 422 when it is nested %i deep', async (depth) => {
    const nested = [
      '['.repeat(depth) + ']'.repeat(depth),
      `${'{"a":'.repeat(depth)}1${'}'.repeat(depth)}`,
      `${'{"name":['.repeat(depth)}1${']}'.repeat(depth)}`,
    ];
    for (const operation of operations) {
      const [first] = Object.keys(operation.body!);
      for (const json of nested) {
        for (const body of [json, bodyWith(operation, first!, json)]) {
          const { status } = await send(operation, body);
          expect([operation.action, [413, 422].includes(status)]).toEqual([operation.action, true]);
        }
      }
    }
  });

  it('is 422 when a query parameter is sent twice or as a structure', async () => {
    for (const query of [
      'page=1&page=2',
      'page[]=1',
      'page[a]=1',
      'search=a&search=b',
      'search[$ne]=a',
      'tag[]=a',
    ]) {
      const { status } = await app.admin.get(`/api-keys?${query}`);
      expect([query, status]).toEqual([query, 422]);
    }
  });

  it('has changed nothing, and the service still answers', async () => {
    expect((await app.admin.get('/auth/me')).status).toBe(200);
    const after = await databaseContents(app.database);
    const throttled = { login_failures: [], audit_logs: [] };
    expect({ ...after, ...throttled }).toEqual({ ...before, ...throttled });
  });
});
