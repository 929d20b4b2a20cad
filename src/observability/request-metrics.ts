import type { FastifyInstance } from 'fastify';
import { addControlPlaneHooks, type RequestHooks } from '../http/control-plane-hooks.js';
import type { Metrics } from './metrics.service.js';
import { routePattern } from './request-route.js';

const BUCKETS_SECONDS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10];
const KNOWN_METHODS = new Set(['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS']);

/** Measures every answered request of the control plane; the data plane counts its verdicts. Call it before routes are made. */
export function measureRequests(server: FastifyInstance, metrics: Metrics): void {
  const durations = metrics.histogram({
    name: 'http_request_duration_seconds',
    help: 'Time from the arrival of a request to the end of its response. route is a pattern such as /api/v1/api-keys/:id, or unknown; status is a class such as 2xx.',
    labelNames: ['method', 'route', 'status'],
    buckets: BUCKETS_SECONDS,
  });
  const onResponse: RequestHooks['onResponse'] = (request, reply, done) => {
    const method = KNOWN_METHODS.has(request.method) ? request.method : 'OTHER';
    const status = `${Math.floor(reply.statusCode / 100)}xx`;
    durations.observe({ method, route: routePattern(request), status }, reply.elapsedTime / 1000);
    done();
  };
  addControlPlaneHooks(server, { onResponse });
}
