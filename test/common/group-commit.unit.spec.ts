import { describe, expect, it } from 'vitest';
import { AppError } from '../../src/common/app-error.js';
import { GroupCommit } from '../../src/common/group-commit.js';

/** What PostgreSQL says of a row it does not accept. */
const itemFault = (code = '23505') => Object.assign(new Error(`refused with ${code}`), { code });
const lostConnection = () =>
  Object.assign(new Error('Connection terminated unexpectedly'), { code: '08006' });

/** A store whose statements wait until they are let go, and that notes every group. */
class Store {
  readonly groups: string[][] = [];
  #release: (() => void)[] = [];

  commit = async (items: readonly string[]): Promise<string[]> => {
    this.groups.push([...items]);
    await new Promise<void>((resolve) => this.#release.push(resolve));
    return items.map((item) => item.toUpperCase());
  };

  /** Lets the statement in flight finish. */
  async finish(): Promise<void> {
    while (this.#release.length === 0) await Promise.resolve();
    this.#release.shift()?.();
    await new Promise(setImmediate);
  }
}

describe('a group commit', () => {
  it('gives each caller the result of their own item, after commit', async () => {
    const store = new Store();
    const groups = new GroupCommit({ commit: store.commit });
    let answered = 0;
    const results = ['a', 'b', 'c'].map(async (item) => {
      const result = await groups.submit(item);
      answered += 1;
      return result;
    });
    await new Promise(setImmediate);
    expect(answered).toBe(0);
    await store.finish();
    expect(await Promise.all(results)).toEqual(['A', 'B', 'C']);
    expect(store.groups).toEqual([['a', 'b', 'c']]);
  });

  it('has one statement in flight at most; who comes meanwhile forms the next group', async () => {
    const store = new Store();
    const groups = new GroupCommit({ commit: store.commit });
    const first = groups.submit('a');
    await new Promise(setImmediate);
    const others = ['b', 'c', 'd'].map((item) => groups.submit(item));
    await new Promise(setImmediate);
    expect(store.groups).toEqual([['a']]);
    await store.finish();
    expect(await first).toBe('A');
    expect(store.groups).toEqual([['a'], ['b', 'c', 'd']]);
    await store.finish();
    expect(await Promise.all(others)).toEqual(['B', 'C', 'D']);
  });

  it('sends the next group before those of the last one are answered', async () => {
    const story: string[] = [];
    const groups = new GroupCommit<string>({
      commit: async (items) => {
        story.push(`sent ${items.join()}`);
        await new Promise(setImmediate);
        return items.map(() => undefined);
      },
    });
    const submit = async (item: string) => {
      await groups.submit(item);
      story.push(`answered ${item}`);
    };
    const first = submit('a');
    await Promise.resolve();
    await Promise.all([first, submit('b')]);
    expect(story).toEqual(['sent a', 'sent b', 'answered a', 'answered b']);
  });

  it('takes a caller at once who comes again in the very moment of the answer', async () => {
    const groups = new GroupCommit({ commit: async (items: readonly string[]) => items });
    const callers = ['a', 'b'].map(async (item) => {
      for (let turn = 0; turn < 3; turn += 1) await groups.submit(item);
    });
    const isLate = new Promise((resolve) => setTimeout(() => resolve('late'), 1_000));
    expect(await Promise.race([Promise.all(callers), isLate])).not.toBe('late');
  });

  it('takes a part of many callers at a time, so that there are some to answer while it works', async () => {
    const lengths: number[] = [];
    const groups = new GroupCommit<number>({
      commit: async (items) => {
        lengths.push(items.length);
        await new Promise(setImmediate);
        return items.map(() => undefined);
      },
    });
    const callers = Array.from({ length: 64 }, async (_, caller) => {
      while (lengths.length < 20) await groups.submit(caller);
    });
    await Promise.all(callers);
    expect(lengths.slice(2, 20)).toEqual(Array.from({ length: 18 }, () => 32));
  });

  it('has as many statements under way as told', async () => {
    const store = new Store();
    const groups = new GroupCommit({ commit: store.commit, statements: 2 });
    const results: Promise<string>[] = [];
    for (const item of ['a', 'b', 'c', 'd']) {
      results.push(groups.submit(item));
      await new Promise(setImmediate);
    }
    expect(store.groups).toEqual([['a'], ['b']]);
    await store.finish();
    expect(store.groups).toEqual([['a'], ['b'], ['c', 'd']]);
    await store.finish();
    await store.finish();
    expect(await Promise.all(results)).toEqual(['A', 'B', 'C', 'D']);
  });

  it('makes no group larger than told', async () => {
    const store = new Store();
    const groups = new GroupCommit({ commit: store.commit, maxGroupSize: 2 });
    const results = ['a', 'b', 'c', 'd', 'e'].map((item) => groups.submit(item));
    for (let group = 0; group < 3; group += 1) await store.finish();
    expect(await Promise.all(results)).toHaveLength(5);
    expect(store.groups).toEqual([['a', 'b'], ['c', 'd'], ['e']]);
  });

  it('orders a group when told how, and still answers each caller with their own', async () => {
    const store = new Store();
    const groups = new GroupCommit({
      commit: store.commit,
      compare: (a: string, b: string) => a.localeCompare(b),
    });
    const results = ['c', 'a', 'b'].map((item) => groups.submit(item));
    await store.finish();
    expect(await Promise.all(results)).toEqual(['C', 'A', 'B']);
    expect(store.groups).toEqual([['a', 'b', 'c']]);
  });

  it('refuses callers beyond the limit with 503, and takes them again once there is room', async () => {
    const store = new Store();
    const groups = new GroupCommit({ commit: store.commit, maxWaiting: 2 });
    const inFlight = groups.submit('a');
    await new Promise(setImmediate);
    const waiting = [groups.submit('b'), groups.submit('c')];
    const refusal = await groups.submit('d').catch((error: unknown) => error);
    expect(refusal).toBeInstanceOf(AppError);
    expect(refusal).toMatchObject({ code: 'service.overloaded', status: 503, retryAfterSeconds: 1 });
    await store.finish();
    const late = groups.submit('e');
    await store.finish();
    await store.finish();
    expect(await Promise.all([inFlight, ...waiting, late])).toEqual(['A', 'B', 'C', 'E']);
  });

  it.each(['22P02', '23505', '23514', 'P0001'])(
    'lets an item refused with %s harm only itself',
    async (code) => {
      const groups: (readonly string[])[] = [];
      const commit = async (items: readonly string[]) => {
        groups.push(items);
        if (items.includes('bad')) throw itemFault(code);
        return items.map((item) => item.toUpperCase());
      };
      const group = new GroupCommit({ commit });
      const results = await Promise.allSettled(['a', 'bad', 'c'].map((item) => group.submit(item)));
      expect(results).toEqual([
        { status: 'fulfilled', value: 'A' },
        { status: 'rejected', reason: expect.objectContaining({ code }) },
        { status: 'fulfilled', value: 'C' },
      ]);
      expect(groups).toEqual([['a', 'bad', 'c'], ['a'], ['bad'], ['c']]);
    },
  );

  it('sends a group once more when its outcome is unknown', async () => {
    let failures = 1;
    const groups = new GroupCommit({
      commit: async (items: readonly string[]) => {
        if (failures-- > 0) throw lostConnection();
        return items.map((item) => item.toUpperCase());
      },
    });
    expect(await Promise.all(['a', 'b'].map((item) => groups.submit(item)))).toEqual(['A', 'B']);
  });

  it.each([
    [true, 2],
    [false, 1],
  ])(
    'tells every caller when the outcome stays unknown; isRetried: %s sends it %d times',
    async (isRetried, times) => {
      let sent = 0;
      const groups = new GroupCommit<string, string>({
        commit: async () => {
          sent += 1;
          throw lostConnection();
        },
        isRetried,
      });
      const results = await Promise.allSettled(['a', 'b'].map((item) => groups.submit(item)));
      expect(results.map(({ status }) => status)).toEqual(['rejected', 'rejected']);
      expect(sent).toBe(times);
      sent = 0;
      await expect(groups.submit('c')).rejects.toThrow('Connection terminated');
      expect(sent).toBe(times);
    },
  );

  it('tells every caller when a commit answers too few results, rather than the wrong ones', async () => {
    const groups = new GroupCommit<string, string>({ commit: async () => ['only one'] });
    const results = await Promise.allSettled(['a', 'b'].map((item) => groups.submit(item)));
    expect(results.map(({ status }) => status)).toEqual(['rejected', 'rejected']);
  });

  it('drains: resolves once everything submitted has been answered', async () => {
    const store = new Store();
    const groups = new GroupCommit({ commit: store.commit, maxGroupSize: 1 });
    const results = [groups.submit('a'), groups.submit('b')];
    let isDrained = false;
    const drained = groups.drain().then(() => (isDrained = true));
    await store.finish();
    expect(isDrained).toBe(false);
    await store.finish();
    await drained;
    expect(await Promise.all(results)).toEqual(['A', 'B']);
    await groups.drain();
  });

  it('drains: waits for those whose authority is judged again, and for their items', async () => {
    const store = new Store();
    let judged = (): void => undefined;
    let isCurrent = false;
    const authority = {
      isCurrent: () => isCurrent,
      judgeAgain: () => new Promise<void>((resolve) => (judged = resolve)),
    };
    const groups = new GroupCommit<string, string>({ commit: store.commit, authorityOf: () => authority });
    const result = groups.submit('a');
    let isDrained = false;
    const drained = groups.drain().then(() => (isDrained = true));
    await new Promise(setImmediate);
    expect([isDrained, store.groups]).toEqual([false, []]);
    isCurrent = true;
    judged();
    await store.finish();
    await drained;
    expect(await result).toBe('A');
  });
});
