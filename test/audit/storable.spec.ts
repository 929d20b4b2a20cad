import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { storableJson } from '../../src/audit/storable.js';

describe('storableJson', () => {
  it('leaves what PostgreSQL can store as it is', () => {
    const storable = fc.jsonValue().filter((value) => !/\\u0000|\\ud[89a-f]/.test(JSON.stringify(value)));
    fc.assert(
      fc.property(storable, (value) => {
        expect(storableJson(value, 1_000_000)).toEqual(value);
      }),
    );
  });

  it('replaces NUL and lone surrogates, in names too', () => {
    expect(storableJson({ 'a\0': ['\ud800b', { c: '\0' }] }, 1_000)).toEqual({
      'a\uFFFD': ['\uFFFDb', { c: '\uFFFD' }],
    });
  });

  it('bounds texts, lists and objects, and says where it cut', () => {
    expect(storableJson({ text: 'x'.repeat(100), rest: 1 }, 50)).toEqual({
      text: `${'x'.repeat(30)}[cut]`,
      '[cut]': true,
    });
    expect(
      storableJson(
        Array.from({ length: 1_000_000 }, () => 1),
        50,
      ),
    ).toEqual([1, 1, 1, 1, 1, 1, '[cut]']);
  });

  it('never grows far beyond the bound', () => {
    fc.assert(
      fc.property(fc.jsonValue(), (value) => {
        expect(JSON.stringify(storableJson(value, 20)).length).toBeLessThan(400);
      }),
    );
  });
});
