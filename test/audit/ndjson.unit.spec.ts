import { describe, expect, it } from 'vitest';
import { ndjsonLines, prefersNdjson } from '../../src/audit/ndjson.js';

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

describe('ndjsonLines', () => {
  it('writes a large batch in parts, and lets others go on between them', async () => {
    const batch = Array.from({ length: 1_000 }, (_item, id) => ({ id, text: 'x'.repeat(1_000) }));
    const batches = async function* () {
      yield batch;
    };
    let turns = 0;
    const count = setInterval(() => (turns += 1), 0);
    const texts: string[] = [];
    for await (const text of ndjsonLines(batches(), (item) => item)) {
      texts.push(text);
      expect(text.length).toBeLessThan(70_000);
      expect(text.endsWith('\n')).toBe(true);
    }
    clearInterval(count);
    const lines = texts.join('').trimEnd().split('\n');
    expect(lines.map((line) => JSON.parse(line) as unknown)).toEqual(batch);
    expect(turns).toBeGreaterThan(0);
  });
});
