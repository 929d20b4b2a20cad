import type { FastifyInstance, FastifyRequest } from 'fastify';
import type { Logger } from 'pino';
import { addControlPlaneHooks } from '../http/control-plane-hooks.js';
import { pathOf } from '../contract/problem.js';
import { type RequestContext, requestContextOf } from '../context/request-context.js';
import { isServiceRoute, routePattern } from './request-route.js';

/** What nginx logs when the caller left before the answer; nothing was sent. */
const CALLER_LEFT = 499;

/**
 * Logs one line per request of the control plane. Call it on the server of `createHttpAdapter`, before routes are
 * registered. The request context is read from the request itself, since the end of a response can run in another's context.
 */
export function logRequests(server: FastifyInstance, logger: Logger): void {
  addControlPlaneHooks(server, {
    onResponse: (request, reply, done) => {
      write(logger, request, reply.statusCode, reply.elapsedTime, requestContextOf(request.raw));
      done();
    },
    onRequestAbort: (request, done) => {
      write(logger, request, CALLER_LEFT, undefined, requestContextOf(request.raw));
      done();
    },
  });
}

function write(
  logger: Logger,
  request: FastifyRequest,
  status: number,
  elapsedMs: number | undefined,
  context: RequestContext | undefined,
): void {
  const route = routePattern(request);
  const level = levelOf(status, route);
  if (!logger.isLevelEnabled(level)) return;
  const fields = {
    method: request.method,
    path: pathOf(request.url),
    route,
    status,
    code: context?.problemCode,
    duration_ms: elapsedMs === undefined ? undefined : Math.round(elapsedMs * 100) / 100,
    request_id: request.id,
    user_id: context?.actor?.userId,
    api_key_id: context?.actor?.apiKeyId ?? undefined,
    client_address: context?.clientAddress,
  };
  logger[level](fields, 'request');
}

/** A 503 says that a dependency is unavailable or that we are stopping; any other 5xx is our own fault. */
function levelOf(status: number, route: string): 'debug' | 'info' | 'warn' | 'error' {
  if (status >= 500) return status === 503 ? 'warn' : 'error';
  return isServiceRoute(route) ? 'debug' : 'info';
}
