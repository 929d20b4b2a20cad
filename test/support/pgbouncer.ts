import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { vi } from 'vitest';
import { freePort, isAnswered } from './ports.js';
import { TcpProxy } from './tcp-proxy.js';

/** Debian has it where the PATH of ordinary users does not look. */
const ENVIRONMENT = { PATH: `${process.env['PATH'] ?? ''}:/usr/sbin` };
const NOBODY = 65_534;

/** False when PgBouncer is not installed: what needs it is then reported as skipped. */
export const hasPgBouncer = spawnSync('pgbouncer', ['-V'], { env: ENVIRONMENT }).status === 0;

/** PgBouncer with its defaults, but for the pooling mode, in front of the server of a database. */
export class PgBouncer {
  output = '';

  private constructor(
    private readonly port: number,
    private readonly child: ChildProcess,
    private readonly directory: string,
    private readonly server: TcpProxy,
  ) {}

  static async start(
    databaseUrl: string,
    poolMode: 'session' | 'transaction' | 'statement',
  ): Promise<PgBouncer> {
    const server = await TcpProxy.start(databaseUrl);
    const port = await freePort();
    const directory = mkdtempSync(join(tmpdir(), 'latchkey-pgbouncer-'));
    chmodSync(directory, 0o755);
    const file = (name: string) => join(directory, name);
    writeFileSync(file('users.txt'), '"postgres" ""\n');
    writeFileSync(
      file('pgbouncer.ini'),
      `[databases]\n* = host=127.0.0.1 port=${server.port}\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = ${port}\n` +
        `unix_socket_dir =\nauth_type = trust\nauth_file = ${file('users.txt')}\npool_mode = ${poolMode}\n`,
    );
    // It refuses to run as root.
    const account = process.getuid?.() === 0 ? { uid: NOBODY, gid: NOBODY } : {};
    const child = spawn('pgbouncer', [file('pgbouncer.ini')], {
      cwd: directory,
      env: ENVIRONMENT,
      stdio: ['ignore', 'pipe', 'pipe'],
      ...account,
    });
    const pooler = new PgBouncer(port, child, directory, server);
    process.once('exit', pooler.#end);
    for (const stream of [child.stdout, child.stderr])
      stream.setEncoding('utf8').on('data', (text: string) => (pooler.output += text));
    await vi.waitUntil(
      () => {
        if (child.exitCode !== null) throw new Error(`PgBouncer ended:\n${pooler.output}`);
        return isAnswered(port);
      },
      { timeout: 30_000, interval: 10 },
    );
    return pooler;
  }

  /** The address of a database, by way of the pooler. */
  urlOf(databaseUrl: string): string {
    return this.server.urlOf(databaseUrl).replace(`:${this.server.port}/`, `:${this.port}/`);
  }

  async stop(): Promise<void> {
    process.off('exit', this.#end);
    if (this.child.exitCode === null) {
      const ended = once(this.child, 'exit');
      this.#end();
      await ended;
    }
    this.server.stop();
    rmSync(this.directory, { recursive: true, force: true });
  }

  readonly #end = (): void => {
    this.child.kill('SIGKILL');
  };
}
