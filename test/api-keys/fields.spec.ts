import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { API_KEY_FIELDS, UNSAFE_BODIES } from '../support/api-key-fields.js';
import { storedKey } from '../support/api-keys.js';
import { expectInvalid, expectProblem } from '../support/problems.js';
import { TestApp } from '../support/test-app.js';

const UNSTORABLE = 'must not hold NUL characters or lone surrogates';
const ONE_MEGABYTE = 1_048_576;

describe.each([
  { method: 'POST', required: { name: 'Required' } },
  { method: 'PUT', required: {} },
] as const)('fields of a key in $method', ({ method, required }) => {
  let app: TestApp;
  let path: string;
  let id: number;
  beforeAll(async () => {
    app = await sharedApp();
    id = (await app.apiKey()).id;
    path = method === 'POST' ? '/api-keys' : `/api-keys/${id}`;
  });

  const send = (body: unknown) => app.admin.send(method, path, { body });
  const everything = async () => ({
    key: await storedKey(app, id),
    total: (await app.admin.get('/api-keys?size=1')).body['total'],
  });

  it.each(API_KEY_FIELDS)(
    'accept every valid $field and keep it exactly',
    async ({ field, valid, beside }) => {
      for (const value of valid) {
        const answer = await send({ ...required, ...beside, [field]: value });
        expect({ value, status: answer.status }).toEqual({ value, status: method === 'POST' ? 201 : 200 });
        const shown = method === 'POST' ? answer.body['api_key'] : answer.body;
        const read = (await app.admin.get(`/api-keys/${String(shown['id'])}`)).body;
        expect([shown[field], read[field]]).toEqual([value, value]);
      }
    },
  );

  it.each(API_KEY_FIELDS)(
    'refuse every invalid $field and change nothing',
    async ({ field, invalid, beside }) => {
      const before = await everything();
      for (const [value, message] of invalid) {
        const answer = await send({ ...required, ...beside, [field]: value });
        expect({ value, status: answer.status }).toEqual({ value, status: 422 });
        expectInvalid(answer, { field, message });
      }
      expect(await everything()).toEqual(before);
    },
  );

  it('refuse unknown properties, reserved names and bodies that are no objects', async () => {
    const before = await everything();
    for (const [rawBody, field, message] of UNSAFE_BODIES) {
      const answer = await app.admin.send(method, path, { rawBody });
      expect({ rawBody, errors: answer.body['errors'] }).toMatchObject({
        errors: expect.arrayContaining([{ field, message }]),
      });
      expect(answer.status).toBe(422);
    }
    expect(await everything()).toEqual(before);
  });

  it('name every broken rule at once', async () => {
    const answer = await send(Object.fromEntries(API_KEY_FIELDS.map(({ field }) => [field, {}])));
    expect(answer.body['errors'].map((error: { field: string }) => error.field).toSorted()).toEqual(
      API_KEY_FIELDS.map(({ field }) => field).toSorted(),
    );
  });

  it('refuse NUL and lone surrogates wherever they stand', async () => {
    for (const bad of ['\0', '\ud800']) {
      expectInvalid(
        await send({ ...required, description: bad, tags: ['fine', `x${bad}`], allowed_ips: [bad] }),
        { field: 'description', message: UNSTORABLE },
        { field: 'tags[1]', message: UNSTORABLE },
        { field: 'allowed_ips[0]', message: UNSTORABLE },
      );
      expectInvalid(await send({ ...required, [`a${bad}`]: 1 }), {
        field: `a${bad}`,
        message: 'is not a known property',
      });
    }
  });

  it('are not read from a body that is no JSON, has another media type or is over a megabyte', async () => {
    const before = await everything();
    for (const rawBody of ['{', '{"name":}', '{"name":"x"} x', "{'name':'x'}", '\u0001']) {
      expectProblem(await app.admin.send(method, path, { rawBody }), 'request.malformed');
    }
    const headers = { 'content-type': 'text/plain' };
    const asText = await app.admin.send(method, path, { rawBody: '{"name":"x"}', headers });
    expectProblem(asText, 'request.media_type_unsupported');
    const padding = (bytes: number) => `{"name":"Padded"${' '.repeat(bytes - 17)}}`;
    expectProblem(
      await app.admin.send(method, path, { rawBody: padding(ONE_MEGABYTE + 1) }),
      'request.body_too_large',
    );
    expect(await everything()).toEqual(before);
    const largest = await app.admin.send(method, path, { rawBody: padding(ONE_MEGABYTE) });
    expect(largest.status).toBe(method === 'POST' ? 201 : 200);
  });

  it('store a timestamp as the moment it names, in whatever time zone', async () => {
    const answer = await send({ ...required, expires_at: '2999-01-01T02:30:00+02:30' });
    expect((answer.body['api_key'] ?? answer.body)['expires_at']).toBe('2999-01-01T00:00:00.000Z');
  });

  it('hold no moment whose year, in UTC, has more than four digits', async () => {
    const field = { field: 'expires_at', message: expect.stringContaining('ISO 8601') };
    expectInvalid(await send({ ...required, expires_at: '9999-12-31T23:59:59-14:00' }), field);
    const { body } = await send({ ...required, expires_at: '9999-12-31T23:59:59Z' });
    expect((body['api_key'] ?? body)['expires_at']).toBe('9999-12-31T23:59:59.000Z');
  });
});

let shared: Promise<TestApp> | undefined;
const sharedApp = () => (shared ??= TestApp.start());
afterAll(async () => (await shared)?.stop());
