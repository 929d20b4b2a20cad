import { NestFactory } from '@nestjs/core';
import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import { AppModule } from './app.module.js';
import { AccessGuard } from './auth/access.guard.js';
import type { Clock } from './common/clock.js';
import { Redactor } from './common/redactor.js';
import type { Config } from './config/config.js';
import { serveApiDocument } from './http/api-document.js';
import { allowOrigins } from './http/cors.js';
import { callDirectly } from './http/direct-routes.js';
import { guardBeforeBodies } from './http/early-guard.js';
import { createHttpAdapter } from './http/http-server.js';
import { ProblemFilter } from './http/problem.filter.js';
import { RouteTable } from './http/route-table.js';
import { logRequests } from './observability/access-log.js';
import { createLogger, NestLogger } from './observability/logging.js';
import { Metrics } from './observability/metrics.js';
import { logRefusals } from './observability/refusal-log.js';
import { measureRequests } from './observability/request-metrics.js';

/** Makes the application over a database that is migrated; the caller listens and closes. */
export async function createApp(config: Config, clock?: Clock): Promise<NestFastifyApplication> {
  const routes = new RouteTable();
  const redactor = new Redactor(config.apiKeyPrefixes);
  const logger = createLogger(config, redactor);
  const adapter = createHttpAdapter(config, routes, redactor);
  const app = await NestFactory.create<NestFastifyApplication>(
    AppModule.forRoot(config, routes, redactor, { clock }),
    adapter,
    {
      bodyParser: false,
      logger: new NestLogger(logger),
      abortOnError: false,
    },
  );
  logRequests(adapter.getInstance(), logger);
  logRefusals(app.get(ProblemFilter), logger);
  measureRequests(adapter.getInstance(), app.get(Metrics));
  const surroundings = { guard: app.get(AccessGuard), filter: app.get(ProblemFilter) };
  guardBeforeBodies(adapter.getInstance(), surroundings);
  callDirectly(app, surroundings);
  allowOrigins(app, config.corsOrigins);
  serveApiDocument(app);
  return app;
}
