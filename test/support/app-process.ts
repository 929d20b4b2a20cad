import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { vi } from 'vitest';
import { projectPath } from '../../src/common/project-path.js';
import { ADMIN } from './test-app.js';
import { ApiClient } from './api-client.js';

/** How an application ended: its exit code, or the signal that ended it. */
export type Exit = number | NodeJS.Signals;

// Generous, for machines that have much else to do: a test of a bound measures it itself. These hold for every test
// and hook of a file that starts processes.
const READY_MS = 60_000;
const STOP_MS = 60_000;
vi.setConfig({ testTimeout: 120_000, hookTimeout: 120_000 });

let built: Promise<void> | undefined;

/**
 * The service as people run it: the compiled program in a process of its own, with the given environment alone.
 * It listens on a free port unless that says otherwise.
 */
export class AppProcess {
  stdout = '';
  stderr = '';
  readonly exit: Promise<Exit>;
  #exited: Exit | undefined;

  private constructor(private readonly child: ChildProcess) {
    child.stdout?.setEncoding('utf8').on('data', (text: string) => (this.stdout += text));
    child.stderr?.setEncoding('utf8').on('data', (text: string) => (this.stderr += text));
    this.exit = once(child, 'close').then(([code, signal]) => (this.#exited = (code ?? signal) as Exit));
    const killed = () => child.kill('SIGKILL');
    process.once('exit', killed);
    void this.exit.then(() => process.off('exit', killed));
  }

  /** Starts it and waits until it is ready. */
  static async start(environment: Record<string, string>, nodeOptions: string[] = []): Promise<AppProcess> {
    const app = await AppProcess.launch(environment, nodeOptions);
    await app.ready();
    return app;
  }

  /** Starts it and does not wait. */
  static async launch(environment: Record<string, string>, nodeOptions: string[] = []): Promise<AppProcess> {
    await (built ??= build());
    const { PATH = '' } = process.env;
    const child = spawn(process.execPath, ['--enable-source-maps', ...nodeOptions, 'dist/src/main.js'], {
      cwd: projectPath('.'),
      env: { PATH, PORT: '0', ...environment },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    return new AppProcess(child);
  }

  /** Resolves when it has said where it is and answers that it is ready. */
  async ready(): Promise<void> {
    await vi.waitUntil(
      async () => {
        if (this.#exited !== undefined) throw new Error(`It ended with ${this.#exited}:\n${this.#output}`);
        return (
          /^Latchkey is ready|"msg":"ready"/m.test(this.stdout) &&
          (await this.anonymous.get('//health/ready')).status === 200
        );
      },
      { timeout: READY_MS, interval: 20 },
    );
  }

  get pid(): number {
    return this.child.pid!;
  }

  get baseUrl(): string {
    const url = /(?:API: +|"api":")(http[^\s"]+)\/api\/v1/.exec(this.stdout)?.[1];
    if (url === undefined) throw new Error(`It has not said where it is:\n${this.#output}`);
    return url;
  }

  get anonymous(): ApiClient {
    return new ApiClient(this.baseUrl);
  }

  /** A client with a new session of the admin. */
  async admin(password: string = ADMIN.password): Promise<ApiClient> {
    return this.anonymous.withAccessToken(await this.accessToken(password));
  }

  /** The access token of a new session of the admin. */
  async accessToken(password: string = ADMIN.password): Promise<string> {
    const answer = await this.anonymous.post('/auth/login', { username: ADMIN.username, password });
    if (answer.status !== 200) throw new Error(`The login failed: ${answer.text}`);
    return String(answer.body['access_token']);
  }

  /** What it logged so far, a line of JSON each. */
  logLines(): Record<string, unknown>[] {
    return this.stdout
      .split('\n')
      .filter((line) => line.startsWith('{') && line.endsWith('}'))
      .map((line) => JSON.parse(line) as Record<string, unknown>);
  }

  signal(signal: NodeJS.Signals): void {
    this.child.kill(signal);
  }

  /** Asks it to stop and answers how it ended. */
  async stop(): Promise<Exit> {
    this.signal('SIGTERM');
    await vi.waitUntil(() => this.#exited !== undefined, { timeout: STOP_MS, interval: 10 });
    return this.exit;
  }

  async kill9(): Promise<void> {
    this.signal('SIGKILL');
    await this.exit;
  }

  get #output(): string {
    return this.stdout + this.stderr;
  }
}

/** Does nothing when the build is up to date, which it is after `npm test` has begun. */
async function build(): Promise<void> {
  const builder = spawn(process.execPath, ['scripts/build.mjs', '--if-stale'], { cwd: projectPath('.') });
  let output = '';
  for (const stream of [builder.stdout, builder.stderr]) {
    stream.setEncoding('utf8').on('data', (text: string) => (output += text));
  }
  const [code] = (await once(builder, 'close')) as [number];
  if (code !== 0) throw new Error(`The build failed:\n${output}`);
}
