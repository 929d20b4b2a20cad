import { describe, expect, it } from 'vitest';
import { FairQueue } from '../../src/common/fair-queue.js';

/** Work that ends when it is told to, and what of it has begun. */
class Work {
  readonly begun: string[] = [];
  readonly #ends = new Map<string, () => void>();

  of(name: string): () => Promise<string> {
    return async () => {
      this.begun.push(name);
      await new Promise<void>((resolve) => this.#ends.set(name, resolve));
      return name;
    };
  }

  async end(name: string, result: Promise<string>): Promise<void> {
    this.#ends.get(name)?.();
    await result;
    await Promise.resolve();
  }
}

describe('FairQueue', () => {
  it('runs so much of a caller at a time, the rest in the order of its arrival', async () => {
    const [queue, work] = [new FairQueue(2), new Work()];
    const results = ['a', 'b', 'c', 'd'].map((name) => queue.run(1, work.of(name)));
    await Promise.resolve();
    expect(work.begun).toEqual(['a', 'b']);
    await work.end('b', results[1]!);
    expect(work.begun).toEqual(['a', 'b', 'c']);
    await work.end('a', results[0]!);
    expect(work.begun).toEqual(['a', 'b', 'c', 'd']);
    await work.end('c', results[2]!);
    await work.end('d', results[3]!);
  });

  it('lets one caller go on while another waits', async () => {
    const [queue, work] = [new FairQueue(1), new Work()];
    const [first, second] = [queue.run(1, work.of('first')), queue.run(1, work.of('second'))];
    const other = queue.run(2, work.of('other'));
    await Promise.resolve();
    expect(work.begun).toEqual(['first', 'other']);
    await work.end('other', other);
    await work.end('first', first);
    await work.end('second', second);
  });

  it('goes on after work that fails', async () => {
    const queue = new FairQueue(1);
    await expect(queue.run(1, () => Promise.reject(new Error('failed')))).rejects.toThrow('failed');
    await expect(queue.run(1, () => Promise.resolve('done'))).resolves.toBe('done');
  });
});
