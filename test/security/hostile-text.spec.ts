import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { TestApp } from '../support/test-app.js';
import { databaseContents } from './database-contents.js';
import { type DescribedOperation, describedOperations } from './described-operations.js';
import { vacantPath, validBody } from './routes.js';

/** Means something to SQL, to LIKE, to a regular expression, to a path, to a template or to a header. */
const HOSTILE_TEXTS = [
  `'; DROP TABLE users; --`,
  String.raw`") UNION SELECT '$1::text %_\%`,
  '(a+)+$[.*|^../../../../etc/passwd',
  '${7*7}{{7*7}}<%= 7 %>$(id)`id`|id{"$ne":null}',
  '\u202e\ufeff\u{1F511}',
  'x\r\nSet-Cookie: a=b',
];
const UNSTORABLE_TEXTS = ['\0', 'a\0b', '\ud800', 'x\udfff'];

describe('text that means something elsewhere', { timeout: 120_000 }, () => {
  let app: TestApp;
  let operations: DescribedOperation[];
  beforeAll(async () => {
    app = await TestApp.start({ environment: { LOGIN_FAILURES_PER_ADDRESS: '100000' } });
    operations = describedOperations(app.app);
  });
  afterAll(() => app.stop());

  async function send(operation: DescribedOperation, extra: Record<string, unknown>, query = '') {
    const { method, path, action } = operation;
    // Nobody has this id: nothing that could be accepted takes effect on what the other tests use.
    const url = vacantPath(path) + query;
    const body = operation.body === undefined ? undefined : { ...validBody(method, action), ...extra };
    return { name: `${method} ${path}`, answer: await app.admin.send(method, url, { body }) };
  }

  it('in any property of any body is refused or kept as it is, and never a fault', async () => {
    const faults: string[] = [];
    for (const operation of operations) {
      for (const [property, { type }] of Object.entries(operation.body ?? {})) {
        for (const text of HOSTILE_TEXTS) {
          const { name, answer } = await send(operation, { [property]: type === 'array' ? [text] : text });
          if (answer.status >= 500) faults.push(`${name} ${property} ${text}: ${answer.text}`);
        }
      }
    }
    expect(faults).toEqual([]);
  });

  it('that PostgreSQL cannot store is 422 in every property, and names it', async () => {
    for (const operation of operations) {
      for (const [property, { type }] of Object.entries(operation.body ?? {})) {
        for (const text of UNSTORABLE_TEXTS) {
          const { name, answer } = await send(operation, { [property]: type === 'array' ? [text] : text });
          const field = type === 'array' ? `${property}[0]` : property;
          const errors = (answer.body['errors'] ?? []) as { field: string }[];
          const isNamed = errors.some((error) => error.field === field);
          expect([name, field, answer.status, isNamed]).toEqual([name, field, 422, true]);
        }
      }
    }
  });

  it('in any query parameter is answered, or refused by its name', async () => {
    for (const operation of operations.filter(({ method }) => method === 'GET')) {
      for (const parameter of operation.queryParameters) {
        const answers = await Promise.all(
          [...HOSTILE_TEXTS, 'a\0b'].map((text) =>
            send(operation, {}, `?${parameter}=${encodeURIComponent(text)}`),
          ),
        );
        for (const { name, answer } of answers) {
          const isNamed = answer.status !== 422 || answer.body['errors'][0].field.startsWith(parameter);
          expect([name, parameter, answer.status < 500, isNamed]).toEqual([name, parameter, true, true]);
        }
      }
    }
  });

  it('in place of an id is 422', async () => {
    const ids = [
      ...HOSTILE_TEXTS,
      '0',
      '-1',
      '1.5',
      '1e3',
      '0x1',
      ' 1',
      '١',
      '9007199254740993',
      'NaN',
      'null',
    ];
    for (const path of ['/api-keys/ID', '/api-keys/ID/usage', '/users/ID']) {
      for (const id of ids) {
        const answer = await app.admin.get(path.replace('ID', encodeURIComponent(id)));
        expect([path, id, answer.status]).toEqual([path, id, 422]);
      }
    }
  });

  it('in any header is never a fault', async () => {
    const names = [
      'x-api-key',
      'authorization',
      'x-request-id',
      'user-agent',
      'accept',
      'content-type',
      'idempotency-key',
      'if-match',
      'if-none-match',
      'origin',
      'x-forwarded-for',
      'cookie',
      'expect-ct',
    ];
    for (const name of names) {
      for (const text of HOSTILE_TEXTS.filter((hostile) => /^[\x20-\x7e]+$/.test(hostile))) {
        const answers = await Promise.all([
          app.admin.post('/api-keys', { name: 'By header' }, { [name]: text }),
          app.admin.get('/audit-logs?limit=1', { [name]: text }),
          app.anonymous.get('/auth/me', { [name]: text }),
        ]);
        const isFault = answers.some(({ status }) => status >= 500);
        expect([name, text, isFault]).toEqual([name, text, false]);
      }
    }
  });

  it('is found again as it was written, as ordinary characters', async () => {
    // It stands in the policies of the default organization and project by now.
    await app.database.query('DELETE FROM policies');
    for (const text of HOSTILE_TEXTS) {
      const { id, body } = await app.apiKey(app.admin, {
        name: text,
        tags: [text],
        description: `d ${text}`,
      });
      expect(body).toMatchObject({ name: text, tags: [text], description: `d ${text}` });
      for (const filter of ['search', 'tag']) {
        const { body: page } = await app.admin.get(
          `/api-keys?size=100&${filter}=${encodeURIComponent(text)}`,
        );
        const found = page['api_keys'] as {
          id: number;
          name: string;
          description: string | null;
          tags: string[];
        }[];
        expect(found.map((key) => key.id)).toContain(id);
        const isLiteral = ({ name, description, tags }: (typeof found)[number]) =>
          [name, description ?? '', ...tags].some((kept) => kept.includes(text));
        expect(found.filter((key) => !isLiteral(key))).toEqual([]);
      }
    }
  });

  it('has left every table where it was', async () => {
    const { users, roles, api_keys: keys } = await databaseContents(app.database);
    expect(users!.length).toBeGreaterThan(0);
    expect(roles).toHaveLength(5);
    expect(keys!.length).toBeGreaterThan(HOSTILE_TEXTS.length);
    expect((await app.admin.get('/users')).status).toBe(200);
  });
});
