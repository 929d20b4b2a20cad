import { describe, expect, it } from 'vitest';
import { cachedColumns, FIELD_NAMES, fieldOf, wireNameOf } from '../../src/api-keys/api-key.fields.js';
import { API_KEY_FIELDS } from '../support/api-key-fields.js';
import { PARENT } from './restrictions.js';

describe('the table of key fields', () => {
  it('has every restriction in memory for verdicts, of the whole line, but budgets, which have accounts', () => {
    const isJudged = (name: (typeof FIELD_NAMES)[number]) => {
      const { restriction } = fieldOf(name);
      return restriction !== undefined && restriction !== 'budget';
    };
    expect(cachedColumns('line')).toEqual(FIELD_NAMES.filter(isJudged).map(wireNameOf));
  });

  it('has no restriction that no test compares with that of a parent', () => {
    const restricting = FIELD_NAMES.filter((name) => fieldOf(name).restriction !== undefined);
    expect(Object.keys(PARENT).toSorted()).toEqual(
      restricting
        .filter((name) => name !== 'isActive')
        .map(wireNameOf)
        .toSorted(),
    );
  });

  it('has no field whose values no test sends over HTTP', () => {
    expect(API_KEY_FIELDS.map(({ field }) => field).toSorted()).toEqual(
      FIELD_NAMES.filter((name) => name !== 'isActive')
        .map(wireNameOf)
        .toSorted(),
    );
  });
});
