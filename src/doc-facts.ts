import { ERROR_CATALOGUE } from './common/error-catalogue.js';
import { SETTING_GROUPS } from './config/settings.js';
import { createDescribedApp } from './described-app.js';
import { Maintenance } from './jobs/maintenance.service.js';
import { Metrics } from './observability/metrics.service.js';
import { measureRequests } from './observability/request-metrics.js';
import { refusalOf } from './verification/forward-auth.policy.js';
import { VERDICT_CODES } from './verification/verdict.js';
import { VERDICT_MEANINGS } from './verification/verdict-meanings.js';

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

/** What registers itself with the application. */
async function describeApplication() {
  const app = await createDescribedApp({
    // The metrics about Redis exist only with one.
    environment: { DATABASE_URL: 'postgres://127.0.0.1:1/described', REDIS_URL: 'redis://127.0.0.1:1' },
    hasProviders: true,
  });
  const metrics = app.get(Metrics);
  measureRequests(app.getHttpAdapter().getInstance(), metrics);
  return { jobs: app.get(Maintenance).jobs, metrics: metrics.definitions() };
}

/** What forward-auth answers for a verdict. */
function answerOfGateway(code: (typeof VERDICT_CODES)[number]): { status: number; error: string | null } {
  if (code === 'VALID') return { status: 200, error: null };
  const error = refusalOf({ code } as Parameters<typeof refusalOf>[0], {});
  return { status: error.status, error: error.code };
}
