import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { excessOf } from '../../src/contract/json-text.js';
import { rawRequest } from '../security/raw-request.js';
import { describedOperations } from '../security/described-operations.js';
import { vacantPath, validBody } from '../security/routes.js';
import type { ApiAnswer } from '../support/api-client.js';
import { expectInvalid, expectProblem } from '../support/problems.js';
import { TestApp } from '../support/test-app.js';

const LARGE_ENOUGH_TO_LOOK = ' '.repeat(1_024);

describe('the text of a body', () => {
  const limit = (values: number) => values * 50;

  /** How many values and levels JSON has: a second, slow definition. */
  function sizeOf(value: unknown): { values: number; depth: number } {
    if (typeof value !== 'object' || value === null) return { values: 1, depth: 0 };
    const inner = Object.values(value).map(sizeOf);
    const count = inner.reduce((sum, { values }) => sum + values, 0);
    return {
      // An empty list holds as much as one with a single value.
      values: 1 + Math.max(count, 1),
      depth: 1 + Math.max(0, ...inner.map(({ depth }) => depth)),
    };
  }

  it('may hold as many values as its bytes allow, nested 16 deep, and neither more nor deeper', () => {
    // Of lists and objects; about as many as are allowed.
    const around = fc.oneof(fc.constant([]), fc.array(fc.boolean(), { minLength: 12, maxLength: 18 }));
    fc.assert(
      fc.property(
        fc.jsonValue({ maxDepth: 5 }),
        around,
        fc.integer({ min: 1, max: 80 }),
        (inner, levels, most) => {
          const value = levels.reduce<unknown>((held, isList) => (isList ? [held] : { a: held }), inner);
          const { values, depth } = sizeOf(value);
          const excess = excessOf(JSON.stringify(value) + LARGE_ENOUGH_TO_LOOK, limit(most));
          expect(excess !== undefined).toBe(values > most || depth > 16);
        },
      ),
      { numRuns: 1_000 },
    );
  });

  it('may hold any brackets, commas, quotes and backslashes within its strings', () => {
    const character = fc.constantFrom('"', '\\', '[', '{', ',', ']', 'a', '\n');
    const hostile = fc.string({ unit: character, maxLength: 200 });
    fc.assert(
      fc.property(hostile, hostile, (name, text) => {
        const json = JSON.stringify({ [name]: text }) + LARGE_ENOUGH_TO_LOOK;
        expect(excessOf(json, limit(2))).toBeUndefined();
        expect(excessOf(`[${json},1]`, limit(3))).toBe('must hold at most 3 values');
      }),
    );
  });

  it('is looked through once, whatever it is', () => {
    for (const part of ['"', '\\', '\\"', '"\\', '[]', '{"', ',', '\\\\"', '""', '"a",', '" \\\\']) {
      const text = part.repeat(3_000);
      const { looked, spies } = countLooks();
      excessOf(text, limit(20_000));
      for (const spy of spies) spy.mockRestore();
      // Each character by the loop, by the search for the end of its string, and by that for the backslashes before it.
      expect([part, looked() <= 4 * text.length]).toEqual([part, true]);
    }
  });
});

describe('a refusal', () => {
  let app: TestApp;
  beforeAll(async () => {
    app = await TestApp.start();
  });
  afterAll(() => app.stop());

  const unknown = (count: number) =>
    Object.fromEntries(Array.from({ length: count }, (_, index) => [`unknown_${index}`, 1]));

  it('names 50 broken rules at most, on every operation, and then says that there are more', async () => {
    const operations = describedOperations(app.app).filter(
      // A report of usage has required fields, whose errors count too. Others that are read take no parameters.
      ({ method, action, queryParameters }) =>
        action !== 'report_usage' && (method !== 'GET' || queryParameters.length > 0),
    );
    for (const { method, path, action } of operations) {
      const send = (count: number): Promise<ApiAnswer> => {
        if (method === 'GET') {
          const required = action === 'get_usage_events' ? { request_id: 'x' } : {};
          const query = new URLSearchParams({ ...required, ...unknown(count) } as Record<string, string>);
          return app.admin.get(`${vacantPath(path)}?${query.toString()}`);
        }
        const body = { ...validBody(method, action), ...unknown(count) };
        return app.admin.send(method, vacantPath(path), { body });
      };
      const [few, many] = [await send(50), await send(51)];
      const said = [few, many].map(({ status, body }) => [
        status,
        (body['errors'] as unknown[]).length,
        body['errors_truncated'],
      ]);
      expect([action, said]).toEqual([
        action,
        [
          [422, 50, undefined],
          [422, 50, true],
        ],
      ]);
    }
  });

  it('names every event of a list that was rejected, and 50 broken rules', async () => {
    const answer = await app.admin.post(
      '/usage',
      Array.from({ length: 1_000 }, () => ({ api_key_id: 'x' })),
    );
    const rejected = answer.body['rejected'] as { index: number; errors: unknown[] }[];
    expect(answer.status).toBe(200);
    expect(rejected.map(({ index }) => index)).toEqual(Array.from({ length: 1_000 }, (_, index) => index));
    expect(rejected.flatMap(({ errors }) => errors)).toHaveLength(50);
    expect(answer.body['errors_truncated']).toBe(true);
    expect(answer.text.length).toBeLessThan(64 * 1_024);
    const one = await app.admin.post('/usage', [{ api_key_id: 'x' }]);
    expect(one.body['errors_truncated']).toBeUndefined();
  });

  it('does not repeat what is long: names and paths are cut', async () => {
    const name = 'n'.repeat(5_000);
    expectInvalid(await app.admin.post('/auth/login', { username: 'a', password: 'b', [name]: 1 }), {
      field: `${'n'.repeat(200)}…`,
      message: 'is not a known property',
    });
    const path = `/api/v1/${'x/'.repeat(3_000)}`;
    const { status, text } = await rawRequest(app.anonymous.baseUrl, 'GET', path);
    expect([status, (JSON.parse(text) as { instance: string }).instance]).toEqual([
      404,
      path.slice(0, 1_024),
    ]);
  });

  it('of a body with too many values, or nested too deeply, is 422 and says so', async () => {
    const body = `{"permissions":[${'1,'.repeat(2_000)}1]}`;
    expectInvalid(await app.admin.send('PUT', '/users/1', { rawBody: body }), {
      field: 'body',
      message: 'must hold at most 1310 values',
    });
    const nested = `${'['.repeat(1_000)}${']'.repeat(1_000)}`;
    expectInvalid(await app.admin.send('POST', '/api-keys/verify', { rawBody: nested }), {
      field: 'body',
      message: 'is nested too deeply',
    });
    const headers = { 'content-type': 'application/x-www-form-urlencoded' };
    expectInvalid(await app.admin.send('POST', '/introspect', { rawBody: 'a&'.repeat(200), headers }), {
      field: 'body',
      message: 'must have at most 100 fields',
    });
  });

  it('of an address that is too long is 414, and 128 parameters or 8,192 characters are not', async () => {
    const parameters = (count: number) => `/users?${'page=1&'.repeat(count - 1)}page=1`;
    const long = (length: number) => `/users?search=${'x'.repeat(length - '/api/v1/users?search='.length)}`;
    for (const path of [parameters(129), long(8_193)])
      expectProblem(await app.admin.get(path), 'request.uri_too_long');
    for (const path of [parameters(128), long(8_192)])
      expectProblem(await app.admin.get(path), 'validation.failed');
  });
});

/** Counts the characters that are looked at from now on, one by one or by `indexOf`. */
function countLooks() {
  let looks = 0;
  const { charCodeAt, indexOf } = String.prototype;
  const spies = [
    vi.spyOn(String.prototype, 'charCodeAt').mockImplementation(function (this: string, at) {
      looks += 1;
      return charCodeAt.call(this, at);
    }),
    vi.spyOn(String.prototype, 'indexOf').mockImplementation(function (this: string, sought, from = 0) {
      const found = indexOf.call(this, sought, from);
      looks += (found === -1 ? this.length : found) - from;
      return found;
    }),
  ];
  return { looked: () => looks, spies };
}
