import type { FastifyRequest } from 'fastify';
import type { Logger } from 'pino';
import type { AppError } from '../common/app-error.js';
import { pathOf } from '../contract/problem.js';
import type { ProblemFilter } from '../http/problem.filter.js';
import type { RequestContext } from '../context/request-context.js';
import { routePattern } from './request-route.js';

/** The most lines of one error code per second. */
const MOST_LINES = 20;
const SPAN_MS = 1_000;

/** What was written and left out of one code in the current second. */
interface Count {
  written: number;
  leftOut: number;
}

/**
 * Logs each problem that the data plane responds with once, with its request id and error code. Requests that succeed are
 * not logged. Of each code at most twenty lines are written per second, then one that counts the others.
 */
export function logRefusals(filter: ProblemFilter, logger: Logger): void {
  const counts = new Map<string, Count>();
  const timer = setInterval(() => {
    for (const [code, { leftOut }] of counts) {
      if (leftOut > 0)
        logger.warn({ code, left_out: leftOut }, 'Refusals of the data plane were left out of the log');
    }
    counts.clear();
  }, SPAN_MS);
  timer.unref();

  filter.onDataPlaneProblem((error, request, context) => {
    const count = counts.get(error.code) ?? { written: 0, leftOut: 0 };
    counts.set(error.code, count);
    if (count.written >= MOST_LINES) {
      count.leftOut += 1;
      return;
    }
    count.written += 1;
    write(logger, error, request, context);
  });
}

function write(logger: Logger, error: AppError, request: FastifyRequest, context: RequestContext): void {
  const { actor } = context;
  const level = error.status === 503 ? 'warn' : error.status >= 500 ? 'error' : 'info';
  logger[level](
    {
      method: request.method,
      path: pathOf(request.url),
      route: routePattern(request),
      status: error.status,
      code: error.code,
      request_id: request.id,
      user_id: actor?.userId,
      api_key_id: actor?.apiKeyId ?? undefined,
      client_address: context.clientAddress,
      cause: error.cause instanceof Error ? error.cause.message : undefined,
    },
    'request',
  );
}
