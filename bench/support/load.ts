import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { projectPath } from '../../src/common/project-path.js';
import type { GeneratorAnswer, GeneratorCommand, LoadPlan, LoadResult } from './load-plan.js';
import { LOAD_CORE, pinned } from './pinning.js';

/** The load generator: a process of its own on a core of its own. */
export class Load {
  private constructor(private readonly child: ChildProcess) {}

  static start(): Load {
    const script = projectPath('bench/support/load-generator.ts');
    const [command = '', ...commandArguments] = pinned(LOAD_CORE, [
      process.execPath,
      '--import',
      'tsx',
      script,
    ]);
    const stdio = ['ignore', 'inherit', 'inherit', 'ipc'] as const;
    return new Load(spawn(command, commandArguments, { cwd: projectPath('.'), stdio: [...stdio] }));
  }

  /** Puts the load on a server and waits for it to end. @throws Error when a request is not answered at all */
  async run(plan: LoadPlan): Promise<LoadResult> {
    const command: GeneratorCommand = { plan };
    const listening = new AbortController();
    const { signal } = listening;
    this.child.send(command);
    const [answer] = (await Promise.race([
      once(this.child, 'message', { signal }),
      once(this.child, 'exit', { signal }).then(() => [{ failure: 'The load generator ended.' }]),
    ])) as [GeneratorAnswer];
    listening.abort();
    if ('failure' in answer) throw new Error(answer.failure);
    return answer.result;
  }

  stop(): void {
    this.child.kill();
  }
}
