import { AsyncLocalStorage } from 'node:async_hooks';

const storage = new AsyncLocalStorage<object>();

/** Runs `work` as one change, to which everything that it calls belongs. */
export function runInChange<Result>(work: () => Promise<Result>): Promise<Result> {
  return storage.run({}, work);
}

/** Whether a change is under way around the caller. */
export function isInChange(): boolean {
  return storage.getStore() !== undefined;
}
