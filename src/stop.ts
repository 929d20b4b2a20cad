import type { Server } from 'node:http';
import { Server as NetServer, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import type { Config } from './config/config.js';
import { Readiness } from './observability/readiness.service.js';

const SECOND_SIGNAL_IGNORED_MS = 1_500;
/** A connection that nobody used for so long while the service drains is closed although its client was told nothing. */
const DRAIN_MS = 500;
/** What a connection that was accepted last has to send its request. */
const LAST_ACCEPTED_MS = 100;
const POLL_MS = 10;
/** What jobs and pools get to end once all requests are answered; what they leave undone the next run catches up with. */
const CLOSE_MS = 4_000;

/**
 * Ends the process cleanly on SIGTERM and SIGINT, also while it still starts: what was started is stopped, the newest
 * first. Ctrl-C in a terminal reaches the process twice, by npm and by itself; a second signal means impatience only
 * after a moment.
 */
export class Shutdown {
  readonly #steps: (() => Promise<void>)[] = [];
  #startedAt: number | undefined;

  /** `report` gets a sentence for each step that fails. */
  constructor(private readonly report: (sentence: string) => void) {
    const stop = (): void => {
      if (this.#startedAt === undefined) void this.run(0);
      else if (Date.now() - this.#startedAt > SECOND_SIGNAL_IGNORED_MS) process.exit(1);
    };
    process.on('SIGTERM', stop);
    process.on('SIGINT', stop);
  }

  /** True from the first signal on: what fails then was stopped on purpose. */
  get hasBegun(): boolean {
    return this.#startedAt !== undefined;
  }

  /** Adds what has to be done before all that was added earlier. */
  add(step: () => Promise<void>): void {
    this.#steps.unshift(step);
  }

  /** Does everything, whatever fails of it, and ends the process: with this exit code, or with 1 when a step failed. */
  async run(exitCode: number): Promise<never> {
    // A failure during the stop ends the process: nothing is stopped twice.
    if (this.#startedAt !== undefined) process.exit(1);
    this.#startedAt = Date.now();
    let code = exitCode;
    for (const step of this.#steps) {
      await step().catch((error: unknown) => {
        this.report(`The stop failed: ${String(error)}`);
        code = 1;
      });
    }
    process.exit(code);
  }
}

/**
 * How the application ends without failing a request: readiness is 503 for the drain time, then responses ask clients to
 * close, and only connections that are not in use are closed. Closing a connection between two requests of a busy client would make
 * its next one fail. Call it before the application is initialized.
 */
export function closeWhenDrained(
  app: NestFastifyApplication,
  {
    shutdownDrainSeconds,
    shutdownTimeoutSeconds,
  }: Pick<Config, 'shutdownDrainSeconds' | 'shutdownTimeoutSeconds'>,
  report: (sentence: string) => void,
): () => Promise<void> {
  const server: Server = app.getHttpServer();
  const connections = new Set<Socket>();
  let isDraining = false;
  server.on('connection', (socket: Socket) => {
    connections.add(socket);
    socket.once('close', () => connections.delete(socket));
  });
  app
    .getHttpAdapter()
    .getInstance()
    .addHook('onSend', (_request, reply, _payload, done) => {
      if (isDraining) void reply.header('connection', 'close');
      done();
    });
  const unused = async (withinMs: number): Promise<void> => {
    const deadline = Date.now() + withinMs;
    while (connections.size > 0 && Date.now() < deadline) await sleep(POLL_MS);
  };
  return async () => {
    app.get(Readiness).startDraining();
    // A balancer learns from its next probe that this instance is leaving; what it sends until then is answered.
    await sleep(shutdownDrainSeconds * 1000);
    isDraining = true;
    const deadline = setTimeout(() => server.closeAllConnections(), shutdownTimeoutSeconds * 1000);
    await unused(DRAIN_MS);
    // The HTTP server's own close would at once cut connections whose first request is on its way.
    const closed = new Promise((resolve) => NetServer.prototype.close.call(server, resolve));
    await unused(LAST_ACCEPTED_MS);
    server.closeIdleConnections();
    await closed;
    clearTimeout(deadline);
    await closeWithin(app, CLOSE_MS, report);
  };
}

/** A connection to a PostgreSQL that has become a black hole never closes. */
async function closeWithin(
  app: NestFastifyApplication,
  milliseconds: number,
  report: (sentence: string) => void,
): Promise<void> {
  const closing = app.close().then(() => true);
  if (await Promise.race([closing, sleep(milliseconds, false)])) return;
  report(`What was still open after ${milliseconds} ms was cut.`);
}
