import {
  type EmbeddedPostgres,
  type EmbeddedPostgresOptions,
  startEmbeddedPostgres,
} from './embedded-postgres.js';
import { processIdentity } from './process-identity.js';

const LOOK_MS = 500;

/** Told of each restart, and of each attempt that failed. */
export type RestartReport = (message: string) => void;

/**
 * Starts the embedded PostgreSQL and starts it again whenever it dies under this process, as a service manager would
 * for one of its own. Its address stays the same, so clients that were connected connect again.
 */
export async function startSupervisedPostgres(
  options: EmbeddedPostgresOptions,
  report: RestartReport,
): Promise<EmbeddedPostgres> {
  let server = await startEmbeddedPostgres(options);
  let identity = await processIdentity(server.pid);
  let looking: Promise<void> | undefined;

  const look = async (): Promise<void> => {
    if (identity !== undefined && (await processIdentity(server.pid)) === identity) return;
    report('The embedded PostgreSQL has ended; it is started again.');
    // Each start registers this process as a client: of two registrations, one would outlive the stop.
    await server.stop();
    server = await startEmbeddedPostgres(options);
    identity = await processIdentity(server.pid);
  };
  const timer = setInterval(() => {
    looking ??= look()
      .catch((error: unknown) => report(`The embedded PostgreSQL could not be started: ${String(error)}`))
      .finally(() => {
        looking = undefined;
      });
  }, LOOK_MS);
  timer.unref();

  return {
    url: server.url,
    get pid() {
      return server.pid;
    },
    get adopted() {
      return server.adopted;
    },
    logFile: server.logFile,
    stop: async () => {
      clearInterval(timer);
      await looking;
      await server.stop();
    },
  };
}
