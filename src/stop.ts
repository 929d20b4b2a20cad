import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import type { Config } from './config/config.js';
import type { EmbeddedPostgres } from './database/embedded/embedded-postgres.js';
import { Readiness } from './observability/readiness.js';

/**
 * Stops cleanly on SIGTERM and SIGINT: readiness says no, requests in flight are answered, connections close, the
 * embedded PostgreSQL last. Ctrl-C in a terminal reaches the process twice, by npm and by itself; a second signal
 * means impatience only after a moment.
 */
export function stopOnSignals(
  app: NestFastifyApplication,
  config: Config,
  postgres: EmbeddedPostgres | undefined,
): void {
  let startedAt: number | undefined;
  const stop = (): void => {
    if (startedAt !== undefined) {
      if (Date.now() - startedAt > SECOND_SIGNAL_IGNORED_MS) process.exit(1);
      return;
    }
    startedAt = Date.now();
    const deadline = setTimeout(
      () => app.getHttpServer().closeAllConnections(),
      config.shutdownTimeoutSeconds * 1000,
    );
    deadline.unref();
    shutDown(app, postgres).then(
      () => process.exit(0),
      (error: unknown) => {
        process.stderr.write(`The stop failed: ${String(error)}\n`);
        process.exit(1);
      },
    );
  };
  process.on('SIGTERM', stop);
  process.on('SIGINT', stop);
}

const SECOND_SIGNAL_IGNORED_MS = 1_500;

async function shutDown(app: NestFastifyApplication, postgres: EmbeddedPostgres | undefined): Promise<void> {
  app.get(Readiness).startDraining();
  await app.close();
  await postgres?.stop();
}
