import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { MOST_DETAILS_BYTES, storableDetails } from '../../src/audit/storable.js';

const bytesOf = (value: unknown) => Buffer.byteLength(JSON.stringify(value));
const anyDetails = fc.dictionary(fc.string({ unit: 'binary' }), fc.jsonValue({ stringUnit: 'binary' }));
const list = (length: number) =>
  Array.from({ length: 100 }, (_item, index) => `${index}`.padEnd(length, 'x'));

describe('details of an audit row', () => {
  it('stay as they are where PostgreSQL can store them and they are small', () => {
    const isStorable = (value: unknown) => !/\\u0000|\\ud[89a-f]/.test(JSON.stringify(value));
    fc.assert(
      fc.property(anyDetails.filter(isStorable), (details) => {
        fc.pre(bytesOf(details) <= MOST_DETAILS_BYTES);
        expect(storableDetails(details)).toEqual(details);
      }),
    );
  });

  it('have no NUL and no lone surrogate, in names neither', () => {
    expect(storableDetails({ 'a\0': ['\ud800b', { c: '\0' }] })).toEqual({
      'a\uFFFD': ['\uFFFDb', { c: '\uFFFD' }],
    });
  });

  it('name what was cut, field by field, and keep the beginning of it', () => {
    const before = { name: 'before', scopes: list(200), allowed_models: [] };
    const after = { name: 'after', scopes: list(200), allowed_models: list(150) };
    const details = storableDetails({
      updated_fields: ['scopes', 'allowed_models'],
      before_values: before,
      after_values: after,
    }) as Record<string, Record<string, unknown[]>>;
    expect(details).toMatchObject({
      updated_fields: ['scopes', 'allowed_models'],
      before_values: { name: 'before', allowed_models: [] },
      after_values: { name: 'after' },
      truncated: ['before_values.scopes', 'after_values.scopes', 'after_values.allowed_models'],
    });
    for (const kept of [details['before_values']?.['scopes'], details['after_values']?.['scopes']]) {
      expect(kept).toEqual(list(200).slice(0, kept?.length));
      expect(kept?.length).toBeGreaterThan(20);
    }
    expect(bytesOf(details)).toBeGreaterThan(MOST_DETAILS_BYTES * 0.9);
  });

  it('keep a long text up to the bound, and no half of a character', () => {
    const { text, truncated } = storableDetails({ text: '😀'.repeat(10_000) }) as {
      text: string;
      truncated: [];
    };
    expect(truncated).toEqual(['text']);
    expect(text).toBe('😀'.repeat(text.length / 2));
    expect(text.length).toBeGreaterThan(8_000);
  });

  it.each([
    ['a name', { ['n'.repeat(50_000)]: 1 }],
    [
      'very many members',
      Object.fromEntries(Array.from({ length: 9_000 }, (_item, index) => [`m${index}`, 1])),
    ],
  ])('name everything as cut when %s alone is too much', (_what, details) => {
    expect(storableDetails(details)).toEqual({ truncated: ['*'] });
  });

  it('never pass the bound where numbers are cut, for which null stands', () => {
    const numbers = Object.fromEntries(
      Array.from({ length: 3 }, (_value, n) => [`k${n}`, 1_234_567_890_123]),
    );
    for (let most = 30; most < 100; most += 1)
      expect(bytesOf(storableDetails(numbers, most))).toBeLessThanOrEqual(most);
  });

  it('never pass the bound', () => {
    fc.assert(
      fc.property(anyDetails, fc.integer({ min: 30, max: 400 }), (details, most) => {
        expect(bytesOf(storableDetails(details, most))).toBeLessThanOrEqual(most);
      }),
    );
  });
});
