import { readFileSync } from 'node:fs';
import { Redis } from 'ioredis';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { projectPath } from '../../src/common/project-path.js';
import type { ApiClient, ApiRequest } from '../support/api-client.js';
import { AppProcess } from '../support/app-process.js';
import { createTestDatabase, type TestDatabase } from '../support/database.js';
import { HAS_REDIS, RedisServer } from '../support/redis-server.js';
import { testEnvironment } from '../support/test-app.js';
import { usageEvent } from '../support/usage-events.js';
import { databaseContents } from './database-contents.js';
import { vacantPath, validBody } from './routes.js';
import { FORM_NAMES, plainest, SECRET_FORMS, type SecretForm, tracesOf } from './secret-forms.js';

const IS_LONG = process.env['LATCHKEY_LONG'] === '1';
/** Each place meets these, and one of the others in turn; all of them in the long run. */
const USUAL_FORMS: readonly SecretForm[] = IS_LONG
  ? FORM_NAMES
  : ['in clear', 'with one character percent-encoded', 'in base64', 'as JSON escapes'];
const OTHER_FORMS = FORM_NAMES.filter((form) => !USUAL_FORMS.includes(form));
/** What this service, a proxy, a browser or a tracer reads or writes down. */
const HEADERS = [
  'accept',
  'accept-encoding',
  'accept-language',
  'access-control-request-headers',
  'access-control-request-method',
  'authorization',
  'cache-control',
  'content-type',
  'cookie',
  'forwarded',
  'from',
  'idempotency-key',
  'if-match',
  'if-none-match',
  'origin',
  'range',
  'referer',
  'traceparent',
  'tracestate',
  'user-agent',
  'via',
  'x-api-key',
  'x-correlation-id',
  'x-forwarded-for',
  'x-forwarded-host',
  'x-forwarded-method',
  'x-forwarded-proto',
  'x-forwarded-uri',
  'x-original-url',
  'x-real-ip',
  'x-request-id',
];
/** Those that leave the request valid: an operation does all of its work with them. */
const HARMLESS_HEADERS = [
  'user-agent',
  'x-request-id',
  'referer',
  'idempotency-key',
  'cookie',
  'x-forwarded-for',
];
const AT_ONCE = 4;

interface Schema {
  readonly $ref?: string;
  readonly oneOf?: readonly Schema[];
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly items?: Schema;
}

interface Parameter {
  readonly in: string;
  readonly name: string;
}

interface DescribedOperation {
  readonly operationId: string;
  readonly parameters?: readonly Parameter[];
  readonly requestBody?: { readonly content: Readonly<Record<string, { readonly schema: Schema }>> };
}

interface ApiDocument {
  readonly paths: Readonly<Record<string, Readonly<Record<string, DescribedOperation>>>>;
  readonly components: { readonly schemas: Readonly<Record<string, Schema>> };
}

type Body = Record<string, unknown>;
/** Where in a body a text can stand: names, and 0 for the first of a list. */
type Place = readonly (string | 0)[];

const api = JSON.parse(readFileSync(projectPath('openapi.json'), 'utf8')) as ApiDocument;
const operations = Object.entries(api.paths).flatMap(([path, methods]) =>
  Object.entries(methods).map(([method, operation]) => ({
    ...operation,
    path,
    method: method.toUpperCase(),
  })),
);
type Operation = (typeof operations)[number];

/** Every place of a body that its schema describes, and one that it does not. */
function placesIn(schema: Schema): Place[] {
  const { $ref, oneOf, properties, items } = schema;
  if ($ref !== undefined) return placesIn(api.components.schemas[$ref.split('/').at(-1)!]!);
  if (oneOf !== undefined) return oneOf.flatMap(placesIn);
  if (items !== undefined) return placesIn(items).map((place) => [0, ...place]);
  if (properties === undefined) return [[]];
  return Object.entries(properties).flatMap(([name, value]) =>
    placesIn(value).map((place) => [name, ...place]),
  );
}

/** A copy of a body with a text in one place. A body that may also come in a list is put into one for a place there. */
function withText(body: unknown, [step, ...rest]: Place, text: string): unknown {
  if (step === undefined) return text;
  if (step === 0) return [withText(Array.isArray(body) ? body[0] : undefined, rest, text)];
  return { ...(body as Body), [step]: withText((body as Body | undefined)?.[step], rest, text) };
}

describe('a secret in any field of any route', { timeout: 300_000 }, () => {
  let database: TestDatabase;
  let redis: RedisServer | undefined;
  let app: AppProcess;
  let admin: ApiClient;
  let secret: string;
  let [victimKey, victimUser] = [0, 0];
  const shown: string[] = [];
  const turns = new Map(operations.map(({ operationId }, index) => [operationId, index]));

  beforeAll(async () => {
    database = await createTestDatabase();
    redis = HAS_REDIS ? await RedisServer.start() : undefined;
    app = await AppProcess.start({
      ...testEnvironment(database.url),
      LOG_LEVEL: 'trace',
      // So that the headers of proxies are read.
      TRUSTED_PROXIES: '127.0.0.1,::1',
      LOGIN_FAILURES_PER_ADDRESS: '10000',
      ...(redis === undefined ? {} : { REDIS_URL: redis.url }),
    });
    admin = await app.admin();
    const limits = { rate_limit_per_day: 1_000_000, is_unlimited: false, budget_limit_cents: 1_000_000 };
    const created = await admin.post('/api-keys', { name: 'The marked one', ...limits });
    secret = String(created.body['secret_key']);
    victimKey = Number(
      (await admin.post('/api-keys', { name: 'To be changed', ...limits })).body['api_key'].id,
    );
    const user = { username: 'victim', password: 'a long user passphrase' };
    victimUser = Number((await admin.post('/users', user)).body['id']);
  }, 180_000);
  afterAll(async () => {
    await app.kill9();
    await redis?.stop();
    await database.drop();
  });

  /** The path with an id that exists, so that what is stored would be; but for what would end it. */
  async function pathOf({ path, method, operationId }: Operation): Promise<string> {
    if (method === 'DELETE' || operationId === 'deactivate_api_key') return vacantPath(path);
    const isHold = path.includes('/budget-holds/{id}');
    const hold = { api_key_id: victimKey, amount_cents: 1, ttl_seconds: 60 };
    const id = isHold
      ? (await admin.post('/budget-holds', hold)).body['id']
      : path.includes('/users/')
        ? victimUser
        : victimKey;
    return vacantPath(operationId === 'set_user_password' ? path : path.replace('{id}', String(id)));
  }

  function bodyOf({ method, operationId }: Operation): Body | undefined {
    const ofVictim = { ...usageEvent(victimKey) };
    if (operationId === 'report_usage') return ofVictim;
    if (operationId === 'create_budget_hold')
      return { ...validBody(method, operationId), api_key_id: victimKey };
    return validBody(method, operationId);
  }

  /** Sends the secret in the usual forms, and in one of the others. */
  async function inForms({ operationId }: Operation, send: (text: string) => Promise<void>): Promise<void> {
    const turn = turns.get(operationId)! + 1;
    turns.set(operationId, turn);
    const other = OTHER_FORMS[turn % OTHER_FORMS.length];
    for (const form of other === undefined ? USUAL_FORMS : [...USUAL_FORMS, other])
      await send(SECRET_FORMS[form](secret));
  }

  async function ask(
    { method, operationId }: Operation,
    path: string,
    request: ApiRequest = {},
  ): Promise<void> {
    const client = operationId === 'logout' ? app.anonymous : admin;
    const answer = await client.send(method, path, request);
    shown.push(`${operationId}: ${JSON.stringify([...answer.headers])} ${answer.text}`);
    expect([operationId, path, request, answer.status < 500]).toEqual([operationId, path, request, true]);
  }

  async function inBody(operation: Operation, mediaType: string, place: Place): Promise<void> {
    const isForm = mediaType === 'application/x-www-form-urlencoded';
    const valid = () => (place[0] === 0 ? [bodyOf(operation)] : bodyOf(operation));
    await inForms(operation, async (text) => {
      const body = withText(valid(), place, text);
      const form = () => ({ rawBody: new URLSearchParams(body as Record<string, string>).toString() });
      const headers = { 'content-type': mediaType };
      await ask(operation, await pathOf(operation), isForm ? { ...form(), headers } : { body });
    });
    // Escapes of JSON itself, which are undone as the body is read.
    const escaped = JSON.stringify(withText(valid(), place, 'MARK')).replace(
      'MARK',
      SECRET_FORMS['as JSON escapes'](secret),
    );
    if (!isForm) await ask(operation, await pathOf(operation), { rawBody: escaped });
  }

  async function everywhereIn(operation: Operation): Promise<void> {
    for (const [mediaType, { schema }] of Object.entries(operation.requestBody?.content ?? {})) {
      for (const place of [...placesIn(schema), ['unknown']]) await inBody(operation, mediaType, place);
    }
    const body = operation.method === 'GET' ? {} : { body: bodyOf(operation) };
    for (const { in: where, name } of operation.parameters ?? []) {
      if (where === 'query')
        await inForms(operation, async (text) =>
          ask(operation, `${await pathOf(operation)}?${name}=${text}`, body),
        );
      if (where === 'path')
        await inForms(operation, async (text) =>
          ask(operation, vacantPath(operation.path.replace(`{${name}}`, () => text)), body),
        );
    }
    await inForms(operation, async (text) => {
      const headers = Object.fromEntries(HARMLESS_HEADERS.map((name) => [name, text]));
      await ask(operation, await pathOf(operation), { ...body, headers });
    });
  }

  /** Every header in every form, each alone in a request. The operations take turns. */
  async function inHeaders(): Promise<void> {
    const cases = HEADERS.flatMap((name) => FORM_NAMES.map((form) => [name, form] as const));
    const send = async ([name, form]: (typeof cases)[number], index: number) => {
      const operation = operations[index % operations.length]!;
      const body = operation.method === 'GET' ? {} : { body: bodyOf(operation) };
      const text = SECRET_FORMS[form](secret);
      const values = name === 'authorization' ? [text, `Bearer ${text}`, `Basic ${text}`] : [text];
      for (const value of values)
        await ask(operation, await pathOf(operation), { ...body, headers: { [name]: value } });
    };
    for (let at = 0; at < cases.length; at += AT_ONCE)
      await Promise.all(cases.slice(at, at + AT_ONCE).map((one, index) => send(one, at + index)));
  }

  it('is refused, masked or digested', async () => {
    const waiting = [...operations];
    const next = async (): Promise<void> => {
      for (let operation = waiting.shift(); operation !== undefined; operation = waiting.shift())
        await everywhereIn(operation);
    };
    await Promise.all(Array.from({ length: AT_ONCE }, next));
    await inHeaders();
    expect(shown.length).toBeGreaterThan(1_500);
  });

  function expectNowhere(texts: readonly string[]): void {
    const traces = tracesOf(secret);
    const found = texts.filter((text) => {
      const plain = plainest(text);
      return traces.some((trace) => plain.includes(trace));
    });
    expect(found.map((text) => text.slice(0, 1_000))).toEqual([]);
  }

  it('is in no answer', () => expectNowhere(shown));

  it('is in no table', async () => {
    const contents = await databaseContents(database);
    expect(contents['usage_events']!.length).toBeGreaterThan(30);
    for (const rows of Object.values(contents)) expectNowhere(rows);
  });

  it('is not in the log, in the measurements or in the audit log as it is read', async () => {
    expect(app.logLines().length).toBeGreaterThan(500);
    expectNowhere(app.stdout.split('\n'));
    expectNowhere([app.stderr, (await admin.get('//metrics')).text]);
    expectNowhere([(await admin.get('/audit-logs?limit=200')).text]);
  });

  it.skipIf(!HAS_REDIS)('is not in Redis', async () => {
    await admin.post('/api-keys/verify', { key: secret });
    const client = new Redis(redis!.url);
    const keys = await client.keys('*');
    expect(keys.length).toBeGreaterThan(0);
    const values = await Promise.all(keys.map((key) => client.dumpBuffer(key)));
    client.disconnect();
    expectNowhere([...keys, ...values.map((value) => value.toString('latin1'))]);
  });
});
