import { ChildTask } from './child-task.js';
import type { LoadPlan, LoadResult } from './load-plan.js';
import { LOAD_CORE, pinned } from './pinning.js';

/** The load generator: a process of its own on a core of its own. Fails when a request is not answered at all. */
export type Load = ChildTask<LoadPlan, LoadResult>;

export function startLoad(): Load {
  return ChildTask.start('load-generator.ts', (command) => pinned(LOAD_CORE, command));
}
