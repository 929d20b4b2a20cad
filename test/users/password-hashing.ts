import { createHook } from 'node:async_hooks';

/** How many passwords bcrypt compared while `work` ran: Node itself tells of each of its jobs. */
export async function comparisonsDuring(work: () => Promise<unknown>): Promise<number> {
  let comparisons = 0;
  const hook = createHook({
    init: (_id, type) => {
      if (type === 'bcrypt:CompareAsyncWorker') comparisons += 1;
    },
  }).enable();
  try {
    await work();
  } finally {
    hook.disable();
  }
  return comparisons;
}
