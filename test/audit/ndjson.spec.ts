import { describe, expect, it } from 'vitest';
import { prefersNdjson } from '../../src/audit/ndjson.js';

describe('prefersNdjson', () => {
  it.each([
    ['application/x-ndjson', true],
    ['application/x-ndjson, */*', true],
    ['application/x-ndjson, application/problem+json', true],
    ['Application/X-NDJSON; charset=utf-8', true],
    ['application/json;q=0.5, application/x-ndjson', true],
    ['application/x-ndjson, application/json', true],
    ['application/json, application/x-ndjson', false],
    ['application/x-ndjson;q=0.1, application/json', false],
    ['application/x-ndjson;q=0', false],
    ['application/json, text/plain, */*', false],
    ['*/*', false],
    [undefined, false],
  ])('reads %s as %s', (accept, isPreferred) => {
    expect(prefersNdjson(accept)).toBe(isPreferred);
  });
});
