import { NestFactory } from '@nestjs/core';
import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import { AppModule } from './app.module.js';
import { ERROR_CATALOGUE } from './common/error-catalogue.js';
import { Redactor } from './common/redactor.js';
import { loadConfig } from './config/load-config.js';
import { SETTING_GROUPS } from './config/settings.js';
import { Maintenance } from './jobs/maintenance.service.js';
import { createHttpAdapter } from './http/http-server.js';
import { RouteTable } from './contract/route-table.service.js';
import { Metrics } from './observability/metrics.service.js';
import { measureRequests } from './observability/request-metrics.js';
import { refusalOf } from './verification/forward-auth.policy.js';
import { VERDICT_CODES } from './verification/verdict.js';
import { VERDICT_MEANINGS } from './verification/verdict-meanings.js';

const UNUSED_SECRET = 'nothing_is_signed_while_the_service_is_described';

/** What the tables of the documents are generated from (`scripts/docs.mjs`): the service's own data, without a database. */
export async function readDocFacts() {
  const { jobs, metrics } = await describeApplication();
  return {
    settings: SETTING_GROUPS,
    errors: ERROR_CATALOGUE,
    jobs: jobs.map(({ name, purpose, everySeconds, isDestructive }) => ({
      name,
      purpose,
      everySeconds,
      isDestructive,
    })),
    metrics,
    verdicts: VERDICT_CODES.map((code) => ({
      code,
      meaning: VERDICT_MEANINGS[code],
      ...answerOfGateway(code),
    })),
  };
}

/** The application with all that registers itself; nothing connects and no job starts, because it is never initialized. */
async function describeApplication() {
  const config = loadConfig({
    DATABASE_URL: 'postgres://127.0.0.1:1/described',
    // The metrics about Redis exist only with one.
    REDIS_URL: 'redis://127.0.0.1:1',
    JWT_SECRET: UNUSED_SECRET,
    API_KEY_PEPPERS: `1:${UNUSED_SECRET}`,
  });
  const routes = new RouteTable();
  const redactor = new Redactor(config.apiKeyPrefixes);
  const adapter = createHttpAdapter(config, routes, redactor);
  const app = await NestFactory.create<NestFastifyApplication>(
    AppModule.forRoot(config, routes, redactor, { isConnected: false }),
    adapter,
    { logger: false, abortOnError: false },
  );
  const metrics = app.get(Metrics);
  measureRequests(adapter.getInstance(), metrics);
  return { jobs: app.get(Maintenance).jobs, metrics: metrics.definitions() };
}

/** What forward-auth answers for a verdict. */
function answerOfGateway(code: (typeof VERDICT_CODES)[number]): { status: number; error: string | null } {
  if (code === 'VALID') return { status: 200, error: null };
  const error = refusalOf({ code } as Parameters<typeof refusalOf>[0], {});
  return { status: error.status, error: error.code };
}
