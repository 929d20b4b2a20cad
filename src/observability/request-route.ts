import type { FastifyRequest } from 'fastify';

/** Stands for every address that is no route, so that strangers cannot make new values. */
const NO_ROUTE = 'unknown';
const SERVICE_ROUTES = new Set(['/health/live', '/health/ready', '/metrics']);

/** The pattern of the route that answers, such as `/api/v1/api-keys/:id`. */
export function routePattern(request: FastifyRequest): string {
  return request.is404 ? NO_ROUTE : (request.routeOptions.url ?? NO_ROUTE);
}

/** True for the routes that machines ask every few seconds. */
export function isServiceRoute(pattern: string): boolean {
  return SERVICE_ROUTES.has(pattern);
}
