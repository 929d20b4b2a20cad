import { NestFactory } from '@nestjs/core';
import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import { AppModule } from './app.module.js';
import { AccessGuard } from './auth/access.guard.js';
import type { Clock } from './common/clock.js';
import { Redactor } from './common/redactor.js';
import type { Config } from './config/config.js';
import { serveApiDocument } from './contract/api-document.js';
import { allowOrigins } from './http/cors.js';
import { callDirectly } from './data-plane/direct-routes.js';
import { guardBeforeBodies } from './http/early-guard.js';
import { createHttpAdapter } from './http/http-server.js';
import { ProblemFilter } from './http/problem.filter.js';
import { RouteTable } from './contract/route-table.service.js';
import { logRequests } from './observability/access-log.js';
import { createLogger, NestLogger } from './observability/logging.js';
import { Metrics } from './observability/metrics.service.js';
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
  const pipeline = { guard: app.get(AccessGuard), filter: app.get(ProblemFilter) };
  guardBeforeBodies(adapter.getInstance(), pipeline);
  callDirectly(app, pipeline);
  allowOrigins(app, config.corsOrigins);
  serveApiDocument(app, config.publicUrl);
  return app;
}
