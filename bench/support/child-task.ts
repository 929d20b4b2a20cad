import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { projectPath } from '../../src/common/project-path.js';

interface Asked<Plan> {
  readonly plan: Plan;
}
type Answered<Result> = { readonly result: Result } | { readonly failure: string };

/** A script in a process of its own, which does one thing after another as it is asked. */
export class ChildTask<Plan, Result> {
  private constructor(private readonly child: ChildProcess) {}

  /** `script` is named from the project's folder; it calls `serveTasks`. `wrap` may put a command before node. */
  static start<Plan, Result>(
    script: string,
    wrap: (command: readonly string[]) => readonly string[] = (command) => command,
  ): ChildTask<Plan, Result> {
    const [command = '', ...parameters] = wrap([
      process.execPath,
      '--import',
      'tsx',
      projectPath(`bench/support/${script}`),
    ]);
    const stdio = ['ignore', 'inherit', 'inherit', 'ipc'] as const;
    return new ChildTask(spawn(command, parameters, { cwd: projectPath('.'), stdio: [...stdio] }));
  }

  /** @throws Error when the script failed, or ended */
  async run(plan: Plan): Promise<Result> {
    const listening = new AbortController();
    const { signal } = listening;
    this.child.send({ plan } satisfies Asked<Plan>);
    const [answer] = (await Promise.race([
      once(this.child, 'message', { signal }),
      once(this.child, 'exit', { signal }).then(() => [{ failure: 'The process ended.' }]),
    ])) as [Answered<Result>];
    listening.abort();
    if ('failure' in answer) throw new Error(answer.failure);
    return answer.result;
  }

  stop(): void {
    this.child.kill();
  }
}

/** The other side: does what it is asked, until the asking process is gone. */
export function serveTasks(run: (plan: never) => Promise<unknown>): void {
  const answer = (message: Answered<unknown>) => process.send?.(message);
  process.on('disconnect', () => process.exit());
  process.on('message', ({ plan }: Asked<unknown>) => {
    run(plan as never).then(
      (result) => answer({ result }),
      (error: unknown) => answer({ failure: String(error) }),
    );
  });
}
