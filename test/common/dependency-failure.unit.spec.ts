import { QueryRunnerAlreadyReleasedError } from 'typeorm';
import { describe, expect, it } from 'vitest';
import { isDependencyFailure } from '../../src/common/dependency-failure.js';

describe('an error of a dependency', () => {
  it('is a transaction whose connection broke between two of its statements: 503, and not a fault of ours', () => {
    expect(isDependencyFailure(new QueryRunnerAlreadyReleasedError())).toBe(true);
  });

  it('is no error that says nothing of a connection', () => {
    expect(isDependencyFailure(new Error('Cannot read properties of undefined'))).toBe(false);
  });
});
