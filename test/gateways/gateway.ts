import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { vi } from 'vitest';
import { projectPath } from '../../src/common/project-path.js';
import { freePort, isAnswered } from '../support/ports.js';

/** Debian has nginx where the PATH of ordinary users does not look. */
const ENVIRONMENT = { PATH: `${process.env['PATH'] ?? ''}:/usr/sbin` };

/** The ports in the files of docs/gateways. */
const PORTS = { gateway: ':8080', latchkey: ':3000', service: ':9000' } as const;

/** What a gateway stands between, and, when it is to ask for something, its query. */
export interface Setting {
  readonly latchkeyPort: number;
  readonly servicePort: number;
  readonly question?: string;
}

/** A program that can stand in front of a service. */
export interface GatewayProgram {
  readonly name: string;
  /** False when it is not installed: what needs it is then reported as skipped. */
  readonly isInstalled: boolean;
  /** Its file in docs/gateways. */
  readonly file: string;
  /** The line of that file which says what to ask for, without and with a query. */
  readonly questionLine: (question: string) => string;
  /** Writes what it needs beside that file into the directory; answers its arguments. */
  readonly prepare: (directory: string, configuration: string) => string[];
}

export const NGINX: GatewayProgram = {
  name: 'nginx',
  isInstalled: isInstalled('nginx', '-v'),
  file: 'nginx.conf',
  questionLine: (question) => `set $latchkey_question "${question}";`,
  prepare(directory, configuration) {
    writeFileSync(join(directory, 'latchkey.conf'), configuration);
    const folders = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi']
      .map((name) => `${name}_temp_path ${directory}/${name};`)
      .join('\n');
    const main = join(directory, 'main.conf');
    writeFileSync(
      main,
      `daemon off; master_process off; pid ${directory}/pid; events {}
       http { access_log off; ${folders} include ${directory}/latchkey.conf; }`,
    );
    return ['-e', 'stderr', '-p', directory, '-c', main];
  },
};

export const CADDY: GatewayProgram = {
  name: 'caddy',
  isInstalled: isInstalled('caddy', 'version'),
  file: 'Caddyfile',
  questionLine: (question) => `uri /api/v1/forward-auth?${question}\n`,
  prepare(directory, configuration) {
    const file = join(directory, 'Caddyfile');
    // Its administration would listen on a fixed port.
    writeFileSync(file, configuration.replace(/^\{\n/m, '{\n\tadmin off\n'));
    return ['run', '--config', file, '--adapter', 'caddyfile'];
  },
};

/** A gateway that runs with its file from docs/gateways, in which only the ports, and what to ask for, are replaced. */
export class Gateway {
  /** What it has written so far. */
  output = '';

  private constructor(
    readonly port: number,
    private readonly child: ChildProcess,
    private readonly directory: string,
  ) {}

  static async start(program: GatewayProgram, setting: Setting): Promise<Gateway> {
    const port = await freePort();
    const directory = mkdtempSync(join(tmpdir(), 'latchkey-gateway-'));
    const child = spawn(program.name, program.prepare(directory, configurationOf(program, port, setting)), {
      cwd: directory,
      env: { ...ENVIRONMENT, HOME: directory },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    const gateway = new Gateway(port, child, directory);
    process.once('exit', gateway.#end);
    for (const stream of [child.stdout, child.stderr])
      stream.setEncoding('utf8').on('data', (text: string) => (gateway.output += text));
    await vi.waitUntil(
      () => {
        if (child.exitCode !== null) throw new Error(`${program.name} ended:\n${gateway.output}`);
        return isAnswered(port);
      },
      { timeout: 30_000, interval: 10 },
    );
    return gateway;
  }

  async stop(): Promise<void> {
    process.off('exit', this.#end);
    if (this.child.exitCode === null) {
      const ended = once(this.child, 'exit');
      this.#end();
      await ended;
    }
    rmSync(this.directory, { recursive: true, force: true });
  }

  readonly #end = (): void => {
    this.child.kill('SIGKILL');
  };
}

function configurationOf(
  { file, questionLine }: GatewayProgram,
  port: number,
  { latchkeyPort, servicePort, question = '' }: Setting,
): string {
  let text = readFileSync(projectPath(`docs/gateways/${file}`), 'utf8');
  for (const [from, to] of [
    [PORTS.gateway, `:${port}`],
    [PORTS.latchkey, `:${latchkeyPort}`],
    [PORTS.service, `:${servicePort}`],
    [questionLine(''), questionLine(question)],
  ] as const) {
    if (text.split(from).length !== 2) throw new Error(`${file} should have "${from}" exactly once.`);
    text = text.replace(from, to);
  }
  return text;
}

function isInstalled(command: string, argument: string): boolean {
  return spawnSync(command, [argument], { env: ENVIRONMENT }).status === 0;
}
