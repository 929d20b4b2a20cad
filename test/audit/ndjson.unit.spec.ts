import { describe, expect, it } from 'vitest';
import { ndjsonLines } from '../../src/audit/ndjson.js';

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
