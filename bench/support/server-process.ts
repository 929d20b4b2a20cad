import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { projectPath } from '../../src/common/project-path.js';
import { freePort, isAnswered } from '../../test/support/ports.js';
import { pinned, SERVER_CORE } from './pinning.js';

/** A server under test, in a process of its own. */
export interface ServerProcess {
  readonly name: string;
  readonly port: number;
  /** CPU seconds used so far; undefined where there is no /proc. */
  cpuSeconds(): number | undefined;
  stop(): Promise<void>;
}

export interface ServerOptions {
  readonly name: string;
  /** Arguments of node: its flags, then the script, from the project's folder. */
  readonly nodeArguments: readonly string[];
  /** All of its environment beside PATH and PORT. */
  readonly environment: Readonly<Record<string, string>>;
  /** False for one that may use every core, as it does where it is deployed. Default: true. */
  readonly isPinned?: boolean;
}

const START_MS = 60_000;
const STOP_MS = 15_000;
/** What a server says by then is its greeting; what it says later is worth showing. */
const GREETING_MS = 200;
const KEPT_OUTPUT = 8_192;
/** USER_HZ, which Linux fixes at 100 for what it shows in /proc. */
const TICKS_PER_SECOND = 100;

/** Starts a server on its core and waits until it listens on the free port it is given as PORT. */
export async function startServer(options: ServerOptions): Promise<ServerProcess> {
  const { name, nodeArguments, environment, isPinned = true } = options;
  const port = await freePort();
  const node = [process.execPath, ...nodeArguments];
  const [command = '', ...commandArguments] = isPinned ? pinned(SERVER_CORE, node) : node;
  const child = spawn(command, commandArguments, {
    cwd: projectPath('.'),
    env: { PATH: process.env['PATH'], PORT: String(port), ...environment },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  process.once('exit', () => child.kill('SIGKILL'));
  let output = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text: string) => {
      output = (output + text).slice(-KEPT_OUTPUT);
    });
  }
  try {
    await listening(child, port);
  } catch (error) {
    child.kill('SIGKILL');
    throw new Error(`${name} did not start.\n${output}`, { cause: error });
  }
  await sleep(GREETING_MS);
  output = '';
  return {
    name,
    port,
    cpuSeconds: () => cpuSecondsOf(child.pid ?? 0),
    stop: async () => {
      await stop(child);
      if (output !== '') console.error(`${name} wrote:\n${output}`);
    },
  };
}

async function listening(child: ChildProcess, port: number): Promise<void> {
  const deadline = Date.now() + START_MS;
  while (!(await isAnswered(port))) {
    if (child.exitCode !== null || child.signalCode !== null) throw new Error('It ended.');
    if (Date.now() > deadline) throw new Error('It does not listen.');
    await sleep(50);
  }
}

async function stop(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exited = once(child, 'exit');
  child.kill('SIGTERM');
  const impatience = setTimeout(() => child.kill('SIGKILL'), STOP_MS);
  await exited;
  clearTimeout(impatience);
}

/** proc(5): `utime` and `stime` are the 14th and 15th field; the 2nd, in brackets, can hold spaces. */
function cpuSecondsOf(pid: number): number | undefined {
  try {
    const [, rest = ''] = readFileSync(`/proc/${pid}/stat`, 'utf8').split(/\) (?=\S )/);
    const fields = rest.split(' ');
    return (Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND;
  } catch {
    return undefined;
  }
}
