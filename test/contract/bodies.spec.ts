import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { expectProblem } from '../support/problems.js';
import { TestApp, type TestApiKey } from '../support/test-app.js';

const DEFAULT_LIMIT = 64 * 1_024;
const LARGE_LIMIT = 1_048_576;

describe('a request body', () => {
  let app: TestApp;
  let key: TestApiKey;
  beforeAll(async () => {
    app = await TestApp.start();
    key = await app.apiKey();
  });
  afterAll(() => app.stop());

  /** JSON of exactly so many bytes: an object and the white space after it. */
  const ofSize = (bytes: number, json: object) => JSON.stringify(json).padEnd(bytes, ' ');

  async function statusOf(method: string, path: string, rawBody: string): Promise<number> {
    return (await app.admin.send(method, path, { rawBody })).status;
  }

  it('may have 64 kB and not a byte more', async () => {
    const path = `/users/${(await app.user()).id}`;
    expect(await statusOf('PUT', path, ofSize(DEFAULT_LIMIT, { role: 'user' }))).toBe(200);
    expect(await statusOf('PUT', path, ofSize(DEFAULT_LIMIT + 1, { role: 'user' }))).toBe(413);
    expect(await statusOf('POST', '/auth/login', ofSize(DEFAULT_LIMIT + 1, {}))).toBe(413);
    expect(await statusOf('POST', `/api-keys/${key.id}/regenerate`, ofSize(DEFAULT_LIMIT + 1, {}))).toBe(413);
  });

  it('may have 1 MB where a key is created or updated, and not a byte more', async () => {
    const [path, body] = [`/api-keys/${key.id}`, { name: 'Large' }];
    expect(await statusOf('POST', '/api-keys', ofSize(LARGE_LIMIT, body))).toBe(201);
    expect(await statusOf('POST', '/api-keys', ofSize(LARGE_LIMIT + 1, body))).toBe(413);
    expect(await statusOf('PUT', path, ofSize(LARGE_LIMIT, body))).toBe(200);
    expect(await statusOf('PUT', path, ofSize(LARGE_LIMIT + 1, body))).toBe(413);
  });

  it('carries the largest key that the rules allow', async () => {
    const entries = (prefix: string) =>
      Array.from(
        { length: 100 },
        (_, index) => `${prefix}${String(index).padStart(2, '0')}-${'🔑'.repeat(196)}`,
      );
    const lists = {
      scopes: entries('s'),
      tags: entries('t'),
      allowed_models: entries('m'),
      allowed_chatbots: entries('c'),
    };
    const answer = await app.admin.post('/api-keys', {
      name: 'x'.repeat(100),
      description: '🔑'.repeat(500),
      ...lists,
    });
    expect(answer.status).toBe(201);
    expect(answer.body['api_key']).toMatchObject(lists);
  });

  it('that is empty counts as none, also where the header says JSON', async () => {
    const path = `/api-keys/${key.id}/deactivate`;
    expect(await statusOf('POST', path, '')).toBe(200);
    expect((await app.admin.post(path)).status).toBe(200);
    expect(
      (await app.admin.send('POST', path, { headers: { 'content-type': 'application/json' } })).status,
    ).toBe(200);
    expectProblem(await app.admin.send('POST', '/api-keys', { rawBody: '' }), 'validation.failed');
    expectProblem(await app.admin.send('POST', '/api-keys', { rawBody: 'null' }), 'validation.failed');
  });

  it.each([
    '{',
    '{"name":}',
    "{'name':'x'}",
    '{"name":"x",}',
    'NaN',
    '\u0001',
    '{"name":"\n"}',
    '\ufeff{',
    'undefined',
  ])('that is not JSON is 400: %j', async (rawBody) => {
    expectProblem(await app.admin.send('POST', '/api-keys', { rawBody }), 'request.malformed');
  });

  it('that is not UTF-8 does no harm', async () => {
    const bytes = Buffer.concat([
      Buffer.from('{"name":"'),
      Buffer.from([0xff, 0xfe, 0xc0, 0x80]),
      Buffer.from('"}'),
    ]);
    const answer = await app.admin.send('POST', '/api-keys', { rawBody: new Uint8Array(bytes) });
    expect([answer.status, answer.body['api_key']?.name]).toEqual([201, '\ufffd\ufffd\ufffd\ufffd']);
  });

  it.each([
    'text/plain',
    'application/xml',
    'application/x-www-form-urlencoded',
    'multipart/form-data; boundary=x',
    'application/octet-stream',
    'application/jsonx',
    'json',
    'application/json-patch+json',
  ])('of the media type %s is 415', async (type) => {
    const headers = { 'content-type': type };
    const answer = await app.admin.send('POST', '/api-keys', { rawBody: '{"name":"x"}', headers });
    expectProblem(answer, 'request.media_type_unsupported');
  });

  it.each([
    'application/json',
    'application/json; charset=utf-8',
    'APPLICATION/JSON',
    'application/json;charset=UTF-8',
  ])('of the media type %s is read', async (type) => {
    const headers = { 'content-type': type };
    const answer = await app.admin.send('POST', '/api-keys', { rawBody: '{"name":"é"}', headers });
    expect([answer.status, answer.body['api_key']?.name]).toEqual([201, 'é']);
  });

  it('with the same property twice counts the last one, as JSON parsers do, and is checked as such', async () => {
    const rawBody = '{"name":"first","name":"last"}';
    expect((await app.admin.send('POST', '/api-keys', { rawBody })).body['api_key'].name).toBe('last');
    const answer = await app.admin.send('POST', '/api-keys', { rawBody: '{"name":"first","name":7}' });
    expectProblem(answer, 'validation.failed');
  });
});
