import { AsyncLocalStorage } from 'node:async_hooks';
import type { Change } from '../change-feed/changes.js';

/** A running change: the users and keys that its events have named so far. */
export interface ChangeScope {
  /** By the name of its lock. */
  readonly changed: Map<string, Change>;
}

const storage = new AsyncLocalStorage<ChangeScope>();

/** Runs `work` as one change, to which everything that it calls belongs. */
export function runInChange<Result>(work: (scope: ChangeScope) => Promise<Result>): Promise<Result> {
  const scope: ChangeScope = { changed: new Map() };
  return storage.run(scope, () => work(scope));
}

/** The change that is running; undefined outside of one. */
export function currentChange(): ChangeScope | undefined {
  return storage.getStore();
}
