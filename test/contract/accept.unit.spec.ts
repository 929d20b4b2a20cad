import { describe, expect, it } from 'vitest';
import { acceptedMediaType } from '../../src/contract/accept.js';

describe('an Accept header', () => {
  it.each([
    [undefined, 'a/json'],
    ['', 'a/json'],
    ['a/json;q=0.1, t/csv;q=0.2', 't/csv'],
    ['t/csv, a/json', 't/csv'],
    ['a/json, t/csv', 'a/json'],
    ['T/CSV; charset=utf-8', 't/csv'],
    ['t/csv, a/problem+json', 't/csv'],
    ['t/csv, */*', 't/csv'],
    ['*/*, t/csv', 't/csv'],
    ['*/*', 'a/json'],
    ['a/json, text/plain, */*', 'a/json'],
    ['*/*;q=0.9, a/json;q=0.1', 't/csv'],
    ['t/csv;q=0, */*', 'a/json'],
    ['a/*;q=0, */*;q=0.1', 't/csv'],
    ['x/y', undefined],
    ['t/csv;q=0', undefined],
    ['a/json;q=nonsense', undefined],
  ])('%j asks for %j', (accept, type) => {
    expect(acceptedMediaType(accept, ['a/json', 't/csv'])).toBe(type);
  });
});
