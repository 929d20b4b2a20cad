import type { FastifyInstance, FastifyReply, FastifyRequest, RouteOptions } from 'fastify';
import type { OperationSettings } from '../contract/operation.js';

type Done = (error?: Error) => void;

/** Hooks of Fastify's request lifecycle, in callback style. */
export interface RequestHooks {
  readonly onRequest?: (request: FastifyRequest, reply: FastifyReply, done: Done) => void;
  readonly preValidation?: (request: FastifyRequest, reply: FastifyReply, done: Done) => void;
  readonly onResponse?: (request: FastifyRequest, reply: FastifyReply, done: Done) => void;
  readonly onRequestAbort?: (request: FastifyRequest, done: Done) => void;
}

/**
 * Adds hooks to every request but those of the data plane, where a few microseconds are a large part of the work: to
 * each route as it is registered, and to addresses that are no route. Call it before routes are made.
 */
export function addControlPlaneHooks(server: FastifyInstance, hooks: RequestHooks): void {
  const { onRequest, preValidation, onResponse, onRequestAbort } = hooks;
  server.addHook('onRoute', (route) => {
    if (isDataPlane(route)) return;
    if (onRequest) route.onRequest = [...listOf(route.onRequest), onRequest];
    if (preValidation) route.preValidation = [...listOf(route.preValidation), preValidation];
    if (onResponse) route.onResponse = [...listOf(route.onResponse), onResponse];
    if (onRequestAbort) route.onRequestAbort = [...listOf(route.onRequestAbort), onRequestAbort];
  });
  if (onRequest) server.addHook('onRequest', whereNoRouteIs(onRequest));
  if (preValidation) server.addHook('preValidation', whereNoRouteIs(preValidation));
  if (onResponse) server.addHook('onResponse', whereNoRouteIs(onResponse));
  if (onRequestAbort) {
    server.addHook('onRequestAbort', (request, done) =>
      request.is404 ? onRequestAbort(request, done) : done(),
    );
  }
}

type ReplyHook = (request: FastifyRequest, reply: FastifyReply, done: Done) => void;

function whereNoRouteIs(hook: ReplyHook): ReplyHook {
  return (request, reply, done) => (request.is404 ? hook(request, reply, done) : done());
}

function listOf<Hook>(hooks: Hook | Hook[] | undefined): Hook[] {
  if (hooks === undefined) return [];
  return Array.isArray(hooks) ? hooks : [hooks];
}

function isDataPlane({ config }: RouteOptions): boolean {
  const settings: OperationSettings = { ...config };
  return settings.isDataPlane === true;
}
