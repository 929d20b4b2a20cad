import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { freePort } from './ports.js';

/** False when `redis-server` is not installed: what needs it is then reported as skipped. */
export const HAS_REDIS = spawnSync('redis-server', ['--version']).status === 0;

/** A Redis of a test's own: on a free port, with its files in a directory that goes with it. */
export class RedisServer {
  readonly url: string;
  #process: ChildProcess | undefined;

  private constructor(
    readonly port: number,
    private readonly directory: string,
    private readonly settings: readonly string[],
    private readonly sentinel?: readonly string[],
  ) {
    this.url = `redis://127.0.0.1:${port}`;
  }

  /** Of a Redis Cluster when `isClusterNode`; it serves no slots until it is configured. `settings` are more arguments. */
  static async start({
    isClusterNode = false,
    settings = [],
  }: { isClusterNode?: boolean; settings?: readonly string[] } = {}): Promise<RedisServer> {
    const directory = mkdtempSync(join(tmpdir(), 'latchkey-redis-'));
    const cluster = isClusterNode
      ? ['--cluster-enabled', 'yes', '--cluster-port', String(await freePort())]
      : [];
    const server = new RedisServer(await freePort(), directory, [...cluster, ...settings]);
    await server.run();
    return server;
  }

  /** A Sentinel that watches the server on a port, under the name `mymaster`; it is its own quorum. */
  static async startSentinel(masterPort: number): Promise<RedisServer> {
    const directory = mkdtempSync(join(tmpdir(), 'latchkey-sentinel-'));
    const port = await freePort();
    const file = join(directory, 'sentinel.conf');
    writeFileSync(
      file,
      [
        `port ${port}`,
        'bind 127.0.0.1',
        `dir ${directory}`,
        `sentinel monitor mymaster 127.0.0.1 ${masterPort} 1`,
        'sentinel down-after-milliseconds mymaster 1000',
        'sentinel failover-timeout mymaster 2000',
        '',
      ].join('\n'),
    );
    const server = new RedisServer(port, directory, [], [file, '--sentinel']);
    await server.run();
    return server;
  }

  /** Starts it again, empty, after `kill`. */
  async run(): Promise<void> {
    const quiet = ['--save', '', '--appendonly', 'no', '--repl-diskless-sync-delay', '0'];
    const fixed = ['--bind', '127.0.0.1', ...quiet, '--dir', this.directory];
    const parameters = this.sentinel ?? ['--port', String(this.port), ...fixed, ...this.settings];
    const child = spawn('redis-server', parameters, {
      stdio: ['ignore', 'pipe', 'ignore'],
    });
    this.#process = child;
    const lines: string[] = [];
    for await (const line of createInterface({ input: child.stdout })) {
      if (/Ready to accept connections|Sentinel ID is/.test(line)) break;
      lines.push(line);
    }
    if (child.exitCode !== null) throw new Error(`redis-server did not start:\n${lines.join('\n')}`);
    child.stdout.resume();
  }

  /** Ends it as a crash does; what it held is gone. */
  async kill(): Promise<void> {
    const child = this.#process;
    this.#process = undefined;
    if (child === undefined || child.exitCode !== null) return;
    const ended = once(child, 'exit');
    child.kill('SIGKILL');
    await ended;
  }

  async stop(): Promise<void> {
    await this.kill();
    rmSync(this.directory, { recursive: true, force: true });
  }
}
