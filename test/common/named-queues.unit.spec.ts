import { describe, expect, it } from 'vitest';
import { NamedQueues } from '../../src/common/named-queues.js';

/** Work that ends on request, and notes when it began. */
function heldWork() {
  const begun: string[] = [];
  const ends = new Map<string, () => void>();
  const work = (name: string) => () =>
    new Promise<string>((resolve) => {
      begun.push(name);
      ends.set(name, () => resolve(name));
    });
  return { begun, work, end: (name: string) => ends.get(name)?.() };
}

describe('queues by name', () => {
  it('let so many through at once under each name, the others in the order they came', async () => {
    const queues = new NamedQueues(2, 10);
    const { begun, work, end } = heldWork();
    const all = ['a1', 'a2', 'a3', 'a4', 'b1'].map((name) => queues.run(name.slice(0, 1), work(name)));
    expect(begun).toEqual(['a1', 'a2', 'b1']);
    end('a2');
    await all[1];
    expect(begun).toEqual(['a1', 'a2', 'b1', 'a3']);
    end('a1');
    await all[0];
    expect(begun).toEqual(['a1', 'a2', 'b1', 'a3', 'a4']);
    for (const name of ['a3', 'a4', 'b1']) end(name);
    expect(await Promise.all(all)).toEqual(['a1', 'a2', 'a3', 'a4', 'b1']);
  });

  it('go on after work that failed', async () => {
    const queues = new NamedQueues(1, 10);
    const failing = queues.run('a', () => Promise.reject(new Error('of the work')));
    const next = queues.run('a', () => Promise.resolve('next'));
    await expect(failing).rejects.toThrow('of the work');
    expect(await next).toBe('next');
  });

  it('refuse those who come while too many wait, and only under that name', async () => {
    const queues = new NamedQueues(1, 1);
    const { work, end } = heldWork();
    const [first, second] = [queues.run('a', work('first')), queues.run('a', work('second'))];
    await expect(queues.run('a', work('third'))).rejects.toMatchObject({ code: 'service.overloaded' });
    expect(await queues.run('b', () => Promise.resolve('other'))).toBe('other');
    end('first');
    await first;
    end('second');
    expect(await second).toBe('second');
  });
});
